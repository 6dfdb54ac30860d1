//! The sample files hold every key, load as they are, and load with every line uncommented.

use confique::Config;
use confique::meta::{FieldKind, Meta};
use fsched_core::cache::Bytes;
use fsched_core::worker::WorkerConfig;

use super::{MasterFlags, MasterSettings, WorkerFlags, WorkerSettings, kind};

/// The sample with every key switched on.
fn uncommented(sample: &str) -> String {
    let switch_on = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key.to_owned(),
        _ => line.to_owned(),
    };
    sample.lines().map(switch_on).collect::<Vec<_>>().join("\n")
}

fn file_with(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn load_master(text: &str) -> anyhow::Result<MasterSettings> {
    let file = file_with(text);
    let flags = MasterFlags { config: Some(file.path().to_owned()), ..Default::default() };
    MasterSettings::load(&flags, None)
}

fn load_worker(text: &str) -> anyhow::Result<WorkerSettings> {
    let file = file_with(text);
    let flags = WorkerFlags { config: Some(file.path().to_owned()), ..Default::default() };
    WorkerSettings::load(&flags, None)
}

/// Fails unless every key, with its environment variable, is in the sample, and nothing else is.
fn assert_complete(meta: &Meta, sample: &str) {
    let table: toml::Table = uncommented(sample).parse().unwrap();
    assert_keys(meta, &table, sample, "");
}

fn assert_keys(meta: &Meta, table: &toml::Table, sample: &str, path: &str) {
    for field in meta.fields {
        let name = format!("{path}{}", field.name);
        let value = table.get(field.name).unwrap_or_else(|| panic!("{name} is not in the sample"));
        match field.kind {
            FieldKind::Nested { meta } => {
                let nested = value.as_table().unwrap_or_else(|| panic!("{name} is no table"));
                assert_keys(meta, nested, sample, &format!("{name}."));
            }
            FieldKind::Leaf { env, .. } => {
                let variable = env.unwrap_or_else(|| panic!("{name} has no environment variable"));
                assert!(
                    sample.contains(&format!("[{variable}")),
                    "{variable} of {name} is not in the sample"
                );
            }
        }
    }
    let known = |key: &&String| meta.fields.iter().any(|field| field.name == key.as_str());
    assert_eq!(table.keys().find(|key| !known(key)), None, "a key below {path:?} is in no struct");
}

#[test]
fn the_samples_hold_every_key_and_its_variable() {
    assert_complete(&MasterSettings::META, MasterSettings::SAMPLE);
    assert_complete(&WorkerSettings::META, WorkerSettings::SAMPLE);
}

#[test]
fn the_samples_load_as_they_are_and_change_nothing() {
    let (sample, bare) = (load_master(MasterSettings::SAMPLE).unwrap(), load_master("").unwrap());
    assert_eq!(format!("{sample:?}"), format!("{bare:?}"));
    let (sample, bare) = (load_worker(WorkerSettings::SAMPLE).unwrap(), load_worker("").unwrap());
    assert_eq!(format!("{sample:?}"), format!("{bare:?}"));
}

#[test]
fn the_samples_load_with_every_key_switched_on() {
    let master = load_master(&uncommented(MasterSettings::SAMPLE)).unwrap();
    assert_eq!(master.data_dir.as_deref(), Some(std::path::Path::new("/var/lib/fsched/master")));
    let worker = load_worker(&uncommented(WorkerSettings::SAMPLE)).unwrap();
    assert_eq!(worker.master.as_deref(), Some("http://127.0.0.1:3200"));
}

#[test]
fn the_defaults_in_the_master_sample_are_the_real_ones() {
    let sample = load_master(&uncommented(MasterSettings::SAMPLE)).unwrap();
    let bare = load_master("").unwrap();
    assert_eq!(sample.config(), bare.config());
    let defaults = fsched_http::master::MasterOptions::default();
    for settings in [&sample, &bare] {
        let options = MasterSettings { tokens: None, ..settings.clone() }.options(None).unwrap();
        assert_eq!(
            (options.max_upload, options.default_timeout, options.patience),
            (defaults.max_upload, defaults.default_timeout, defaults.patience)
        );
    }
    assert_eq!(sample.listen, bare.listen);
    assert_eq!(sample.predictor, Some(Default::default()));
    assert_eq!(sample.scheduler, Some(Default::default()));
}

#[test]
fn the_defaults_in_the_worker_sample_are_the_real_ones() {
    let sample = load_worker(&uncommented(WorkerSettings::SAMPLE)).unwrap();
    let bare = load_worker("").unwrap();
    let (sample_config, bare_config) = (sample.config(), bare.config());
    assert_eq!(
        WorkerConfig { cores: 0, memory: Bytes(0), ..sample_config },
        WorkerConfig { cores: 0, memory: Bytes(0), ..bare_config }
    );
    assert_eq!((sample.listen, sample.patience), (bare.listen, bare.patience));
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for text in ["liste = 1", "[log]\nlevle = \"info\"", "[invocations]\nqueues = 7"] {
        let error = format!("{:#}", load_master(text).unwrap_err());
        let key = text.lines().last().unwrap().split(' ').next().unwrap();
        assert!(error.contains(key), "{error}");
    }
    let error = format!("{:#}", load_worker("[limits]\nmax_cats = 9").unwrap_err());
    assert!(error.contains("max_cats"), "{error}");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for text in [
        "listen = \"nowhere\"",
        "upload_limit = \"64 bananas\"",
        "patience = -1",
        "upload_limit = 0",
        "[invocations]\nversions = 0",
        "[invocations]\nqueue = -1",
        "[workers]\nheartbeat = \"1m\"",
        "[log]\nformat = \"xml\"",
    ] {
        assert!(load_master(text).is_err(), "{text}");
    }
    for text in [
        "cores = 0",
        "cores = 70000",
        "memory = 0",
        "[cache]\nmode = \"explicit\"",
        "[cache]\nways = 4",
        "[cache]\nmode = \"explicit\"\nways = 40\nsize = \"1MiB\"",
    ] {
        assert!(load_worker(text).is_err(), "{text}");
    }
}

#[test]
fn tenants_have_tokens_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, secret: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, secret).unwrap();
        path.display().to_string()
    };
    let (blue, red) = (file("blue", "secret-of-blue\n"), file("red", "secret-of-red\n"));
    let (same, weak) = (file("same", "secret-of-blue"), file("weak", "hunter2"));
    let options = |text: &str, token: Option<&str>| {
        let settings = load_master(&format!("[tokens]\n{text}"))?;
        settings.options(token.map(|token| token.parse().unwrap()))
    };
    let platform = Some("secret-of-the-platform");
    assert!(options(&format!("blue = {blue:?}\nred = {red:?}"), platform).is_ok());
    for (text, token, said) in [
        (format!("blue = {blue:?}"), None, "need a platform"),
        (format!("blue = {blue:?}\nblue = {red:?}"), platform, "duplicate"),
        (format!("blue = {blue:?}\nred = {same:?}"), platform, "that of blue"),
        (format!("default = {blue:?}"), platform, "default"),
        (format!("Blue = {blue:?}"), platform, "name of a tenant"),
        (format!("blue = {weak:?}"), platform, "characters"),
        ("blue = \"/nonexistent/blue\"".to_owned(), platform, "/nonexistent/blue"),
        (format!("blue = {blue:?}"), Some("secret-of-blue"), "that of default"),
    ] {
        let error = format!("{:#}", options(&text, token).unwrap_err());
        assert!(error.contains(said) && !error.contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn the_environment_names_implementations_by_kind() {
    use fsched_core::predictor::PredictorConfig;
    assert_eq!(kind::<PredictorConfig>("mlp").unwrap(), PredictorConfig::default());
    assert!(kind::<PredictorConfig>("crystal ball").is_err());
}

#[test]
fn flags_win_over_the_file() {
    let file = file_with("listen = \"127.0.0.1:9\"\npatience = \"1s\"");
    let flags = MasterFlags {
        config: Some(file.path().to_owned()),
        listen: Some("127.0.0.1:7".parse().unwrap()),
        ..Default::default()
    };
    let settings = MasterSettings::load(&flags, None).unwrap();
    assert_eq!((settings.listen.port(), settings.patience.0.as_secs()), (7, 1));
}

#[test]
fn a_configuration_that_is_missing_is_an_error() {
    let flags = MasterFlags { config: Some("/nonexistent/fsched.toml".into()), ..Default::default() };
    let error = format!("{:#}", MasterSettings::load(&flags, None).unwrap_err());
    assert!(error.contains("/nonexistent/fsched.toml"), "{error}");
}
