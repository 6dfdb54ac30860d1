//! Tests of the engine: what holds for any input, and what real curves demand.

use proptest::prelude::*;

use super::answer::Question;
use super::candidates::Known;
use super::dataset::{Dataset, DatasetError};
use super::model::{Model, ModelError};
use super::shape::{FULL, GOOD_ENOUGH, GRID, Seen, Shape, need};
use super::tasks::{Task, at_ways, planned, trials};

fn shape() -> impl Strategy<Value = Shape> {
    (prop::collection::vec(0.0f64..1.0, GRID), -20.0f64..20.0).prop_map(|(drops, end)| {
        let mut shape = [end; GRID];
        for i in (0..FULL).rev() {
            // Mostly flat, with cliffs.
            let drop = if drops[i] > 0.8 { drops[i] } else { drops[i] * 1e-3 };
            shape[i] = shape[i + 1] + drop;
        }
        shape
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_never_rises_is_finite_and_inside_its_interval(
        shapes in prop::collection::vec(shape(), 0..6), own in prop::collection::vec(1usize..=20, 0..5),
        here in shape(), size in 0.0f64..20.0
    ) {
        let model = Model::pretrained();
        let seen = |(i, s): (usize, &Shape)| Seen {
            size: i as f64 * 1.5, points: at_ways(s, &(1..=GRID).collect::<Vec<_>>())
        };
        let known = Known::new(shapes.iter().enumerate().map(seen).collect(), &[]);
        let mut own = own;
        own.push(GRID);
        own.sort_unstable();
        own.dedup();
        let own = at_ways(&here, &own);
        let answer = Question::new(&known, size, &own, GOOD_ENOUGH).answer(&model, GOOD_ENOUGH, None);
        let sum: f64 = answer.needs.iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        for i in 0..GRID {
            let (low, t, high) = (answer.low[i], answer.curve[i], answer.high[i]);
            prop_assert!(low.is_finite() && high.is_finite() && low <= t && t <= high, "{low} {t} {high}");
            prop_assert!(i == 0 || answer.curve[i - 1] >= t);
        }
        for (units, t) in own {
            prop_assert!((answer.curve[units as usize - 1] - t).abs() < 1e-9, "a known time is kept");
        }
    }

    #[test]
    fn the_planner_finds_any_need(shape in shape()) {
        let ways = planned(&Known::new(Vec::new(), &[]), 1.0, &shape, GRID);
        prop_assert!(ways.len() <= 8, "{ways:?}");
        let right = need(&shape, GOOD_ENOUGH) + 1;
        prop_assert!(ways.contains(&right) && (right == 1 || ways.contains(&(right - 1))), "{right}: {ways:?}");
    }

    #[test]
    fn no_bytes_make_the_model_parser_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>(), flip in 1u8..
    ) {
        prop_assert!(Model::read(&bytes).is_err());
        let mut shipped = Model::pretrained().write();
        let place = at.index(shipped.len().min(4000));
        shipped[place] ^= flip;
        let _ = Model::read(&shipped);
        shipped.truncate(place);
        prop_assert!(Model::read(&shipped).is_err());
    }

    #[test]
    fn no_text_makes_the_curve_parser_panic(text in "(name,input_size,ways,est_time_s\n)?[a-z0-9,.\n-]{0,200}") {
        let _ = Dataset::parse(&text, &[]);
    }
}

#[test]
fn the_model_that_is_shipped_can_be_read_and_survives_its_bytes() {
    let model = Model::pretrained();
    let bytes = model.write();
    assert_eq!(bytes, model.write(), "the same model gives the same bytes");
    assert_eq!(Model::read(&bytes).unwrap(), model);
}

#[test]
fn a_model_with_a_number_that_is_not_finite_is_refused() {
    for bad in [f32::NAN, f32::INFINITY, 1e9] {
        let mut model = Model::pretrained();
        model.networks[0].second[0][3] = bad;
        assert!(matches!(Model::read(&model.write()), Err(ModelError::Number(name)) if name == "0.second"));
    }
    let mut model = Model::pretrained();
    model.calibration[0].low = -1.0;
    assert!(matches!(Model::read(&model.write()), Err(ModelError::Number(_))));
}

#[test]
fn a_model_of_another_shape_or_version_is_refused() {
    let mut model = Model::pretrained();
    model.networks.clear();
    assert!(matches!(Model::read(&model.write()), Err(ModelError::Shape(_))));
    let bytes = Model::pretrained().write();
    let text = String::from_utf8_lossy(&bytes[8..200]).into_owned();
    let at = 8 + text.find("\"fsched-mlp\":\"1\"").unwrap() + "\"fsched-mlp\":\"".len();
    let mut other = bytes.clone();
    other[at] = b'2';
    assert!(matches!(Model::read(&other), Err(ModelError::Version { found }) if found == "2"));
    assert!(matches!(Model::read(&vec![0; Model::MAX_BYTES + 1]), Err(ModelError::TooLarge)));
}

#[test]
fn our_own_curves_are_read_and_make_the_cases_they_have_to() {
    let dataset = Dataset::parse(Dataset::OWN, &[]).unwrap();
    assert_eq!(dataset.columns.len(), 3);
    let functions = &dataset.columns["est_time_s"];
    let all: Vec<_> = functions.iter().enumerate().flat_map(|(i, f)| trials(i, f, &[])).collect();
    let count = |task| all.iter().filter(|t| t.task == task).count();
    assert_eq!([Task::A, Task::C, Task::D, Task::E, Task::F].map(count), [119, 75, 22, 22, 75]);
}

#[test]
fn a_bad_file_of_curves_says_what_is_wrong_and_where() {
    let parse = |text: &str| Dataset::parse(text, &[]).unwrap_err();
    assert_eq!(parse(""), DatasetError::Empty);
    assert_eq!(parse("name,ways,est_time_s\n"), DatasetError::NoColumn("input_size".to_owned()));
    let header = "name,input_size,ways,est_time_s\n";
    assert!(matches!(parse(&format!("{header}f,1,21,1.0")), DatasetError::BadField { line: 2, .. }));
    assert!(matches!(parse(&format!("{header}f,1,1,-1")), DatasetError::BadField { line: 2, .. }));
    assert!(matches!(parse(&format!("{header}f,1,1,1.0")), DatasetError::Incomplete { .. }));
}

/// Training is candle's work, and its first use takes a second or two.
#[cfg(feature = "train")]
#[test]
fn training_twice_gives_the_same_bytes() {
    use super::learning::Lessons;
    use super::training::{Recipe, train};
    let mut dataset = Dataset::parse(Dataset::OWN, &["est_time_s".to_owned()]).unwrap();
    dataset.columns.values_mut().for_each(|functions| functions.truncate(4));
    let lessons = Lessons::of(&dataset);
    let recipe = Recipe { epochs: 1, networks: 1, ..Recipe::default() };
    let once = || {
        let networks = train(&lessons.examples(|_| true), &recipe, &mut || ()).unwrap();
        lessons.model(networks, |_| true).write()
    };
    assert_eq!(once(), once());
}
