"""The evaluation: fit maps and controls, score all of them beside baselines, and report a verdict on each map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sgi.engine import bundle
from sgi.engine.cores import available_cores
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.files import check_writable
from sgi.engine.generator import generator_sha256
from sgi.engine.intrinsics import IMAGE, INTRINSICS, Intrinsic, Kind
from sgi.engine.intrinsics import find as find_type
from sgi.engine.progress import SILENT, Progress
from sgi.trainer import teachers
from sgi.trainer.device import find_device
from sgi.trainer.offsets.open_generator import AUTO, open_generator
from sgi.trainer.offsets.seed_splits import fitting_seeds, scoring_seeds
from sgi.trainer.studies.evaluation.context import StudyContext, given_rows, open_context
from sgi.trainer.studies.evaluation.evaluation_report import EvaluationReport, make_report
from sgi.trainer.studies.evaluation.html_report import templates
from sgi.trainer.studies.evaluation.run_tasks import estimate_seconds, run_tasks, unfinished
from sgi.trainer.studies.evaluation.study import Study
from sgi.trainer.studies.evaluation.tasks import Task, plan
from sgi.trainer.studies.evaluation.truth_and_lights import NO_ROOMS, checked_variety, measure_sections, uses_rooms
from sgi.trainer.studies.relighting.directions import load_directions
from sgi.trainer.studies.study_inputs import study_precision, study_sampling
from sgi.trainer.teachers import Teacher

EXAMPLE_MASK = "mask-bed"
WORK = "work"


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Settings of an evaluation.

    types: maps to study, by name or by description; () is every built-in type that the teacher predicts, of masks only
    EXAMPLE_MASK. generator: file; None is the bundled one. teacher: spec, see sgi.trainer.teachers. references: specs
    of other teachers to score against. offsets: folder of existing offsets to score; None is the bundled ones for the
    bundled generator, and none for others. steps, batch, lr: of every fit; lr None is the space's own. fits: of every
    map, each on other pictures. control_fits: of every other row, None for 1. controls: whether to fit controls,
    without which no verdict is given. images: pictures to fit on. holdout: held-out pictures to score on. psi, cutoff,
    noise_mode, class_index: see `Sampling`; noise_mode None is none for the bundled generator and const for others.
    rooms: variety of rendered rooms for the truth study, or "none"; None is the variety of the generator's training.
    directions: .npy file of directions of light; None searches for some. out: folder of the work. jobs: processes; None
    is one for each core, and one on a GPU. device: cpu or cuda. backend: torch, triton or auto, see `choose_backend`.
    precision: fp32 or bf16; None is the device's preferred one.
    """

    types: tuple[Kind, ...] = ()
    generator: Path | None = None
    teacher: str = "bundled"
    references: tuple[str, ...] = ()
    offsets: Path | None = None
    steps: int = 600
    fits: int = 3
    control_fits: int | None = None
    controls: bool = True
    batch: int = 16
    lr: float | None = None
    images: int = 2000
    holdout: int = 256
    psi: float = 1.0
    cutoff: int | None = None
    noise_mode: str | None = None
    class_index: int | None = None
    rooms: str | None = None
    directions: Path | None = None
    out: Path = Path("eval")
    jobs: int | None = None
    device: str = "cpu"
    backend: str = AUTO
    precision: str | None = None

    def __post_init__(self) -> None:
        if not self.controls:
            refuse_ignored({"control_fits": self.control_fits}, "with `controls=False`; leave one of the two out")

    @property
    def fits_of_controls(self) -> int:
        """`control_fits`, or its default."""
        return self.control_fits or 1


@dataclass(frozen=True)
class EvaluationPlan:
    """What an evaluation computes.

    tasks: all of them. unfinished: how many have no result yet. seconds: estimate for these. jobs: processes. folder:
    of the work.
    """

    tasks: tuple[Task, ...]
    unfinished: int
    seconds: float
    jobs: int
    folder: Path

    def __str__(self) -> str:
        minutes = max(1, round(self.seconds / 60))
        return (
            f"{len(self.tasks)} tasks, {self.unfinished} to do: about {minutes} min on {self.jobs} processes; "
            f"finished ones stay in {self.folder}"
        )


def plan_evaluation(settings: EvaluationSettings) -> EvaluationPlan:
    """List the tasks of an evaluation and estimate their time from a few timed steps; writes nothing.

    Raises UserError for invalid settings.
    """
    return _open(settings).plan


def evaluate(settings: EvaluationSettings, progress: Progress = SILENT) -> EvaluationReport:
    """Fit maps and controls, score all of them with intervals beside baselines, and judge each map.

    Finished tasks are stored in `out`, so that an interrupted evaluation can resume. Raises UserError for invalid
    settings and for a loss that diverges.

        from pathlib import Path
        from sgi.trainer.studies.evaluation import EvaluationSettings, evaluate

        report = evaluate(EvaluationSettings(types=("depth",), fits=1, steps=200))
        report.write(Path("eval"))

    With jobs other than 1, a script needs the guard `if __name__ == "__main__":`, since the processes import it.
    """
    templates()  # raises before the fits if jinja2 is not installed
    opened = _open(settings)
    plan = opened.plan
    progress.message(str(plan))
    results = run_tasks(opened.context.study, plan.tasks, plan.jobs, progress)
    progress.message("making the report")
    find_device(settings.device, plan.jobs)  # the processes have ended, so their cores are free
    sections = measure_sections(opened.context, results, opened.variety, settings.directions, progress)
    return make_report(
        opened.context,
        results,
        fits=settings.fits,
        control_fits=settings.fits_of_controls,
        references=opened.references,
        sections=sections,
    )


def default_types(teacher: Teacher) -> list[str]:
    """The maps of an evaluation without `types`: built-in types that the teacher predicts, of masks one."""
    return [name for name in (*INTRINSICS, EXAMPLE_MASK) if name != IMAGE and name in teacher.types]


@dataclass(frozen=True)
class _Opened:
    context: StudyContext
    plan: EvaluationPlan
    references: list[Teacher]
    variety: str | None


def _open(settings: EvaluationSettings) -> _Opened:
    """Load the models, check the settings and plan the tasks."""
    fitting_seeds(settings.images, max(settings.fits, settings.fits_of_controls) - 1)
    scoring_seeds(settings.holdout)
    device = find_device(settings.device, 1)
    check_writable(settings.out, folder=True, make=True)
    teacher = teachers.load_teacher(settings.teacher, settings.device)
    references = [teachers.load_teacher(spec, settings.device) for spec in settings.references]
    for number, (spec, reference) in enumerate(zip(settings.references, references, strict=True)):
        if reference.sha256 in {teacher.sha256, *(other.sha256 for other in references[:number])}:
            refuse_ignored({"references": spec}, "beside the teacher, or another reference, that it is; leave it out")
    own = {kind.name: kind for kind in settings.types if isinstance(kind, Intrinsic)}
    names = [kind.name if isinstance(kind, Intrinsic) else kind for kind in settings.types]
    types = tuple(dict.fromkeys(names or default_types(teacher)))
    if not types or IMAGE in types:
        raise UserError(f"`types`: choose from {', '.join(teacher.types)}")
    for name in types:
        if name not in own and find_type(name) is None:
            known = ", ".join(default_types(teacher))
            raise UserError(f"`types={name}`: choose from {known}, or describe it with `type_files`")
    sampling = study_sampling(
        settings.generator, settings.psi, settings.cutoff, settings.noise_mode, settings.class_index
    )
    generator = open_generator(settings.generator, device, settings.backend)
    path = settings.generator or bundle.GENERATOR
    variety = checked_variety(settings.rooms, path)
    sampling.check(generator)
    if variety is not None and generator.config.img_channels != 3:
        raise UserError(
            f"`rooms={settings.rooms}`: rooms are RGB pictures, and those of the generator are grey; use none"
        )
    if settings.directions is not None:
        load_directions(settings.directions, generator.config)  # raises before the fits
    study = Study(
        generator=str(path),
        teacher=settings.teacher,
        generator_sha256=generator_sha256(generator),
        teacher_sha256=teacher.sha256,
        types=types,
        sampling=sampling,
        folder=settings.out / WORK,
        images=settings.images,
        holdout=settings.holdout,
        steps=settings.steps,
        batch=settings.batch,
        lr=settings.lr,
        precision=study_precision(settings.precision, device),
        device=settings.device,
        backend=settings.backend,
        threads=1,
        offsets=settings.offsets or (bundle.OFFSETS if settings.generator is None else None),
        own=tuple(own.values()),
    )
    context = open_context(study)
    if settings.rooms not in (None, NO_ROOMS) and not uses_rooms(context, settings.directions):
        refuse_ignored({"rooms": settings.rooms}, "with these types and this teacher, none of which use rooms")
    tasks = plan(types, settings.fits, settings.fits_of_controls, settings.controls, given_rows(study))
    jobs = settings.jobs or (1 if settings.device == "cuda" else available_cores())
    seconds = estimate_seconds(context, tasks, jobs, variety is not None)
    planned = EvaluationPlan(tuple(tasks), len(unfinished(study, tasks)), seconds, jobs, study.folder)
    return _Opened(context, planned, references, variety)
