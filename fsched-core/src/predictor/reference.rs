//! Known functions that a new one is likened to.

/// One function at one input size, and the `a + b/(1+√(x−1))` nearest to its times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reference {
    pub(super) name: &'static str,
    pub(super) input_size: u64,
    pub(super) a: f64,
    pub(super) b: f64,
}

const fn row(name: &'static str, input_size: u64, a: f64, b: f64) -> Reference {
    Reference { name, input_size, a, b }
}

/// Ten functions at their sizes, by name and size.
///
/// Made from this project's own curves of real functions: their programs were run under a cache simulator with
/// 1 to 20 ways of 1 MiB, times estimated from the miss counts with penalties fitted to native runs, and
/// `a` and `b` fitted to the times of 1 to 10 ways by least squares with neither below zero.
pub(super) const REFERENCES: &[Reference] = &[
    row("binary_tree", 10_000, 1.509e-04, 1.326e-03),
    row("binary_tree", 25_000, 0.0, 5.757e-03),
    row("binary_tree", 50_000, 0.0, 1.741e-02),
    row("binary_tree", 100_000, 0.0, 5.508e-02),
    row("binary_tree", 200_000, 0.0, 1.746e-01),
    row("binary_tree", 400_000, 0.0, 5.282e-01),
    row("binary_tree", 800_000, 1.839e-01, 1.104e+00),
    row("color_transform", 128, 1.241e-03, 3.268e-03),
    row("color_transform", 256, 0.0, 1.268e-02),
    row("color_transform", 512, 0.0, 4.085e-02),
    row("color_transform", 1024, 0.0, 1.500e-01),
    row("color_transform", 1536, 0.0, 3.329e-01),
    row("color_transform", 2048, 0.0, 5.986e-01),
    row("fft", 16_384, 7.930e-04, 8.496e-04),
    row("fft", 65_536, 7.794e-04, 1.149e-02),
    row("fft", 131_072, 4.605e-04, 3.369e-02),
    row("fft", 262_144, 8.484e-03, 7.452e-02),
    row("fft", 524_288, 8.198e-02, 8.561e-02),
    row("fft", 1_048_576, 2.856e-01, 2.149e-02),
    row("fft", 2_097_152, 6.089e-01, 4.905e-03),
    row("graph_mst", 10_000, 9.649e-04, 1.222e-03),
    row("graph_mst", 20_000, 1.815e-03, 2.736e-03),
    row("graph_mst", 50_000, 3.068e-03, 1.468e-02),
    row("graph_mst", 100_000, 1.187e-02, 2.491e-02),
    row("graph_mst", 200_000, 2.170e-02, 8.081e-02),
    row("graph_mst", 400_000, 3.040e-02, 2.240e-01),
    row("kmeans", 10_000, 5.403e-03, 9.878e-05),
    row("kmeans", 25_000, 1.325e-02, 4.739e-04),
    row("kmeans", 50_000, 2.642e-02, 1.128e-03),
    row("kmeans", 100_000, 5.348e-02, 1.588e-03),
    row("kmeans", 200_000, 1.090e-01, 3.556e-04),
    row("kmeans", 300_000, 1.638e-01, 1.428e-05),
    row("linear_equation", 256, 4.192e-03, 1.352e-03),
    row("linear_equation", 384, 1.270e-02, 7.341e-03),
    row("linear_equation", 512, 2.897e-02, 2.090e-02),
    row("linear_equation", 768, 9.731e-02, 8.932e-02),
    row("linear_equation", 1024, 2.638e-01, 1.807e-01),
    row("linear_equation", 1280, 5.984e-01, 2.566e-01),
    row("matrix_multi", 128, 1.791e-03, 5.326e-05),
    row("matrix_multi", 192, 5.587e-03, 2.146e-04),
    row("matrix_multi", 256, 1.246e-02, 1.973e-03),
    row("matrix_multi", 384, 3.919e-02, 1.470e-02),
    row("matrix_multi", 512, 9.212e-02, 4.117e-02),
    row("matrix_multi", 640, 1.823e-01, 9.025e-02),
    row("matrix_multi", 768, 3.335e-01, 1.454e-01),
    row("np_image_resize", 256, 1.522e-02, 1.517e-01),
    row("np_image_resize", 512, 1.652e-02, 1.804e-01),
    row("np_image_resize", 1024, 2.589e-02, 3.613e-01),
    row("np_image_resize", 1536, 5.072e-02, 5.676e-01),
    row("pointer_chase", 512, 6.320e-05, 2.072e-03),
    row("pointer_chase", 1024, 0.0, 5.290e-03),
    row("pointer_chase", 2048, 0.0, 1.504e-02),
    row("pointer_chase", 4096, 0.0, 4.383e-02),
    row("pointer_chase", 8192, 3.879e-02, 4.707e-02),
    row("pointer_chase", 12_288, 9.856e-02, 1.904e-02),
    row("pointer_chase", 16_384, 1.432e-01, 1.030e-02),
    row("pointer_chase", 24_576, 2.149e-01, 1.687e-02),
    row("py_word_count", 20_000, 1.391e-02, 2.114e-02),
    row("py_word_count", 50_000, 3.308e-02, 2.496e-02),
    row("py_word_count", 100_000, 6.535e-02, 3.267e-02),
    row("py_word_count", 200_000, 1.284e-01, 5.726e-02),
];
