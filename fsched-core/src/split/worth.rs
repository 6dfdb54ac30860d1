/// What the slowdown of a run counts that takes so many seconds with the whole cache, while it runs: the inverse root of them.
///
/// It lies between two measures that pull apart. Cores are kept busy the least where every second of a core counts the same, whoever
/// runs there: by 1. The mean slowdown of all runs is the least where each of them counts the same, also those that follow a short one
/// while a long one runs: by 1 over the seconds. Long runs hold ways for as long as many short ones come and go, so by the first the
/// short ones pay; by the second long ones keep cores until others have to wait. docs/evaluation.md has what each came to.
pub fn worth(seconds: f64) -> f64 {
    seconds.max(f64::MIN_POSITIVE).sqrt().recip()
}
