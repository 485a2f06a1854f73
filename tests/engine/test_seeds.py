"""Syntax of seeds, and latents equal to NumPy's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgi.engine.errors import UserError
from sgi.engine.seeds import SEED_MAX, as_seeds, latents, parse_seeds, parse_shard, read_seeds, seed_stem


@pytest.mark.parametrize(
    ("text", "seeds", "duplicates"),
    [
        ("7", [7], 0),
        ("0-5,9, 12-14", [0, 1, 2, 3, 4, 5, 9, 12, 13, 14], 0),
        ("1,2,5-10", [1, 2, 5, 6, 7, 8, 9, 10], 0),
        (" 3 - 5 , 1 ", [3, 4, 5, 1], 0),
        ("9,0-3", [9, 0, 1, 2, 3], 0),
        ("4-4", [4], 0),
        ("3-9,0-12,5", [3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 10, 11, 12], 8),
        (f"{SEED_MAX}", [SEED_MAX], 0),
    ],
)
def test_parse(text, seeds, duplicates):
    parsed = parse_seeds(text)
    assert list(parsed) == seeds
    assert parsed.duplicates == duplicates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("5-1", "the range 5-1 is reversed; write 1-5"),
        ("-3", "'-3' is neither a seed nor a range"),
        ("0--3", "'0--3' is neither a seed nor a range"),
        ("1,,2", "an item is empty"),
        ("1,2,", "an item is empty"),
        ("one", "'one' is neither a seed nor a range"),
        ("1.5", "'1.5' is neither a seed nor a range"),
        ("1-2-3", "'1-2-3' is neither a seed nor a range"),
        (f"{SEED_MAX + 1}", f"{SEED_MAX + 1} is more than the largest seed, {SEED_MAX}"),
        ("0-9999999999", "9999999999 is more than the largest seed"),
        ("9" * 5000, "is neither a seed nor a range"),
    ],
)
def test_wrong_text_is_refused_with_the_reason(text, message):
    with pytest.raises(UserError) as error:
        parse_seeds(text)
    assert str(error.value).startswith("`seeds")
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["1 2  3\n4 - 6 7", "1,2 ,3\n\n4-6\t7  # the last", " 1\n2, 3 4-6\n7\n"])
def test_a_file_separates_seeds_by_commas_spaces_and_lines(tmp_path, text):
    (tmp_path / "seeds.txt").write_text(text)
    assert list(read_seeds(tmp_path / "seeds.txt")) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("text", ["1,,2", "1 2,", "1 - - 2", "1 x"])
def test_a_wrong_item_of_a_file_is_refused(tmp_path, text):
    (tmp_path / "seeds.txt").write_text(text)
    with pytest.raises(UserError, match=r"seeds.txt`, line 1: "):
        read_seeds(tmp_path / "seeds.txt")


def test_four_billion_seeds_need_little_memory():
    seeds = parse_seeds("0-4294967295")
    assert len(seeds) == 2**32
    assert (seeds[0], seeds[-1]) == (0, SEED_MAX)
    assert list(seeds[2**31 : 2**31 + 2]) == [2**31, 2**31 + 1]
    assert len(seeds.shard(3, 4)) == 2**30
    assert 12345 in seeds


_items = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), min_size=1, max_size=8)


@given(items=_items, cut=st.tuples(st.integers(-40, 40), st.integers(-40, 40)), shards=st.integers(1, 5))
def test_behaves_like_a_list_without_duplicates(items, cut, shards):
    written = [seed for first, more in items for seed in range(first, first + more + 1)]
    expected = list(dict.fromkeys(written))
    seeds = parse_seeds(",".join(f"{first}-{first + more}" for first, more in items))
    assert list(seeds) == expected
    assert seeds.duplicates == len(written) - len(expected)
    assert [seeds[i] for i in range(-len(expected), len(expected))] == expected * 2
    assert list(seeds[cut[0] : cut[1]]) == expected[cut[0] : cut[1]]
    assert list(seeds[::-2]) == expected[::-2]
    assert [seed for k in range(shards) for seed in seeds.shard(k + 1, shards)] == expected


@pytest.mark.parametrize(("text", "shard"), [("1/1", (1, 1)), ("2/4", (2, 4)), (" 4 / 4 ", (4, 4))])
def test_shard(text, shard):
    assert parse_shard(text) == shard


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/b", "-1/4", ""])
def test_wrong_shards_are_refused(text):
    with pytest.raises(UserError, match="`shard=.*`: write k/n with k from 1 to n"):
        parse_shard(text)


# float.hex of z[0, 0], z[0, 1] and z[0, 511] of RandomState(seed).randn(1, 512), computed by NumPy 2.4.
GOLDEN = {
    0: ("0x1.c398ef3e5cfa5p+0", "0x1.99c2cfacc8953p-2", "0x1.5ffda5225543bp+0"),
    1: ("0x1.9fd5190657c50p+0", "-0x1.393822fb7d9adp-1", "0x1.9330767b9b1e3p-3"),
    42: ("0x1.fca2a28a9307cp-2", "-0x1.1b2a505de052ap-3", "-0x1.9b8cf3a319e6cp-5"),
    999: ("0x1.046b54eaece2ep-3", "0x1.66e25224d569ep+0", "0x1.02de75d3a4b8ep+0"),
    SEED_MAX: ("0x1.4bfc38c486d8ap-1", "0x1.56b192e507eeep-1", "-0x1.4e87dae580c92p-3"),
}


def test_latents_equal_the_recorded_values_at_any_position():
    z = latents(GOLDEN, 512)
    assert z.shape == (5, 512)
    assert z.dtype == np.float64
    for row, values in zip(z, GOLDEN.values(), strict=True):
        assert [float(row[i]).hex() for i in (0, 1, 511)] == list(values)
    np.testing.assert_array_equal(latents([999], 512)[0], z[3])


@pytest.mark.parametrize("z_dim", [7, 512])
def test_latents_are_those_of_a_generator_of_their_own(z_dim):
    seeds = [5, 2**31, SEED_MAX, 0, 5]
    expected = np.concatenate([np.random.RandomState(seed).randn(1, z_dim) for seed in seeds])
    np.testing.assert_array_equal(latents(seeds, z_dim), expected)
    np.testing.assert_array_equal(latents(iter(seeds), z_dim), expected)
    assert latents([], z_dim).shape == (0, z_dim)


def test_threads_draw_latents_of_their_own():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda start: latents(range(start, start + 20), 33), range(0, 400, 20)))
    np.testing.assert_array_equal(np.concatenate(found), latents(range(400), 33))


def test_as_seeds_keeps_duplicates_and_refuses_wrong_seeds():
    assert as_seeds([3, 3, np.uint32(1)]) == [3, 3, 1]
    assert as_seeds(5) == [5]
    assert list(as_seeds("0-2")) == [0, 1, 2]
    with pytest.raises(UserError, match="`seeds=-1`: a seed is an integer from 0"):
        as_seeds([0, -1])
    with pytest.raises(TypeError):
        as_seeds([1.5])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("text", "stem"), [("7", "seed000007"), ("0-999999", "seed000007"), ("7-1000000", "seed0000007")]
)
def test_file_names_are_padded_to_the_largest_seed(text, stem):
    assert seed_stem(7, parse_seeds(text).digits) == stem


@pytest.mark.parametrize(
    ("one", "other", "union"),
    [("0-4", "5-9", "0-9"), ("9,3", "4,100", "3-4,9,100"), ("0-9", "2-3", "0-9"), ("7", "7", "7")],
)
def test_the_union_of_seeds_is_sorted(one, other, union):
    assert parse_seeds(one).union(parse_seeds(other)) == parse_seeds(union)
    assert str(parse_seeds(one).union(parse_seeds(other))) == union
