use crate::split::Frontier;

/// What ways of a domain are worth now: how much more its runners would cost with fewer.
///
/// With weights in seconds still to run, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price<'a>(&'a Frontier);

impl<'a> Price<'a> {
    /// Prices in a domain with these runners.
    pub fn in_domain(frontier: &'a Frontier) -> Self {
        Self(frontier)
    }

    /// What taking one way away costs: the marginal value of a way. 0 where nobody runs; `None` where everybody is
    /// at the minimum, so that there is no way to take.
    pub fn marginal(&self) -> Option<f64> {
        self.of(1)
    }

    /// What taking `ways` away costs; `None` where it is not possible.
    pub fn of(&self, ways: u8) -> Option<f64> {
        let left = self.0.ways().checked_sub(ways)?;
        // More ways never cost: rounding aside, the difference is not below zero.
        Some((self.0.cost_at(left)? - self.0.cost()?).max(0.0))
    }

    /// The shadow price: the slope of the cost's lower convex hull at the ways there are, per way. On a cliff the marginal value is 0
    /// just above it and everything at it; this is what a way costs on the average until the next cliff.
    pub fn shadow(&self) -> Option<f64> {
        let per_way = |ways: u8| self.of(ways).map(|cost| cost / f64::from(ways));
        (1..=self.0.ways()).filter_map(per_way).min_by(f64::total_cmp)
    }

    /// The price of the cluster: the lowest of its domains' prices, which is what a newcomer can have a way for. `None`
    /// where no domain has a way to give.
    pub fn of_cluster(prices: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
        prices.into_iter().flatten().min_by(f64::total_cmp)
    }
}

/// The fewest of 1 to `most` ways for which `seconds` with that many ways plus `price` for each is the least: what to ask for at this price.
pub fn ways_worth(seconds: impl Fn(u8) -> f64, price: f64, most: u8) -> u8 {
    let total = |ways: u8| seconds(ways) + price * f64::from(ways);
    (1..=most.max(1)).min_by(|&a, &b| total(a).total_cmp(&total(b))).unwrap_or(1)
}
