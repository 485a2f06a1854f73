"""Every numeric tolerance of the tests, in one place; a change here changes what the project promises.

RMS tolerances are relative: RMS of the difference over RMS of the reference.
"""

BACKEND_PARITY = 1e-4  # same seed through any runtime and batch size, fraction of the output's range
RMS_FP32 = 1e-5
RMS_FP16 = 5e-3
RMS_BF16 = 2e-2
CLOSED_FORM = 1e-6  # float32 code against a formula evaluated by hand or in float64
RAY = 1e-4  # float32 ray casting against a formula: metres, components of unit normals, codes
STORED_CODE = 1e-3  # maps kept in memory as float16, fraction of the range
SOLVED_FVU = 1e-5  # variance that a baseline leaves of the case it is made for
FITTED_FVU = 2e-2  # variance that a fit of 150 or 300 steps leaves of a map that an offset can show exactly
CURVATURE = 0.05  # length of a step, in coordinates made from 4000 probes
NATIVE_PARITY = 1e-6  # the same seed through the same runtime from C++ and from Python, fraction of the range
OPTIMISED = 1e-3  # latents after steps of Adam, or through a root and its inverse, with sums rounded otherwise
SAMPLED_COVARIANCE = 0.5  # entries of a covariance of 512 whitened samples about those of the identity
HALF_TEACHER = 1 / 255  # codes of a teacher in half precision, where a GPU computes targets so, against float32
VIDEO_PSNR = 35.0  # dB, a frame read from an H.264 or VP9 video about the frame drawn
GIF_PSNR = 25.0  # dB, with 256 colours
VIDEO_MEAN = 3.0  # codes, mean of a channel of a frame read from a video about that of the frame drawn
STORED_LIMIT = 0.011  # figures of two digits that a notebook stores, after rounding of another backend
STORED_PIXELS = 1.0  # codes, mean difference of pictures that a notebook stores
