use super::evaluation::Report;

/// One table: header, and lines of cells.
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) header: Vec<&'static str>,
    pub(crate) lines: Vec<Vec<String>>,
}

impl Report {
    /// What was found, for people.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let percent = |value: f64| format!("{value:.2}");
        let maybe = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), percent);
        let splitting = self.splitting.iter().map(|line| {
            let gaps = [line.sum_mean, line.sum_worst, line.worst_mean, line.worst_worst].map(percent);
            let mut cells = vec![
                line.ways.to_string(),
                line.programs.to_owned(),
                line.runners.to_string(),
                line.rule.to_owned(),
            ];
            cells.extend(gaps);
            cells
        });
        let sharing = self.sharing.iter().map(|line| {
            vec![
                line.ways.to_string(),
                line.programs.to_owned(),
                line.runners.to_string(),
                line.rule.to_owned(),
                format!("{:.4}", line.antt),
                format!("{:.3}", line.stp),
                format!("{:.3}", line.unfairness),
                maybe(line.gap),
                maybe(line.antt_gap),
            ]
        });
        let repartitioning = self.repartitioning.iter().map(|line| {
            vec![
                line.ways.to_string(),
                line.programs.to_owned(),
                line.rule.to_owned(),
                format!("{:.4}", line.slowdown),
                format!("{:.2}", line.changes),
                percent(line.loss),
                percent(line.share),
            ]
        });
        let split_header =
            vec!["ways", "programs", "runners", "rule", "sum %", "sum worst %", "worst %", "worst worst %"];
        let share_header = vec![
            "ways",
            "programs",
            "runners",
            "rule",
            "antt",
            "stp",
            "unfairness",
            "cost gap %",
            "antt gap %",
        ];
        let masks_header =
            vec!["ways", "programs", "masks change", "slowdown", "changes", "loss %", "of changes %"];
        vec![
            Table {
                title: "Everybody with ways of its own: gap to the exact optimum, mean and worst mix",
                header: split_header,
                lines: splitting.collect(),
            },
            Table {
                title: "Sharing 7 classes: mean slowdown, throughput, unfairness; gap to everything tried",
                header: share_header,
                lines: sharing.collect(),
            },
            Table {
                title: "Changing masks: changed masks per event, and loss to a new split at every event",
                header: masks_header,
                lines: repartitioning.collect(),
            },
        ]
    }
}
