//! What can be said on the command line, and what cannot.

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_examples_in_the_help_are_understood() {
    let mut examples = 0;
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        let help = [command.get_after_help(), command.get_after_long_help()];
        for text in help.into_iter().flatten().map(ToString::to_string) {
            for line in text.lines().map(str::trim).filter(|line| line.starts_with("fsched ")) {
                let line = line.split(['>', '|']).next().unwrap_or(line);
                let line = line.split("   ").next().unwrap_or(line).trim_end();
                assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
                examples += 1;
            }
        }
    }
    assert!(examples > 10, "only {examples} examples");
}

#[test]
fn what_all_commands_share_may_stand_anywhere() {
    for line in ["fsched --json --url http://h:1 status", "fsched status --url http://h:1 --json"] {
        let cli = parse(line).unwrap();
        assert!(cli.global.json, "{line}");
        assert_eq!(cli.global.url, "http://h:1", "{line}");
    }
}

#[test]
fn a_token_cannot_be_given_on_the_command_line() {
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        assert!(command.get_arguments().all(|argument| argument.get_long() != Some("token")));
    }
    assert!(parse("fsched --token secret status").is_err());
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "fsched",
        "fsched run",
        "fsched run f",
        "fsched run f --input-size -1",
        "fsched run f --input-size 1.5",
        "fsched run f --input-size 18446744073709551616",
        "fsched run f --input-size 1 --timeout soon",
        "fsched function push f --memory lots",
        "fsched function push f --cores 70000",
        "fsched function push f --isolation some",
        "fsched invocations list --state gone",
        "fsched up --workers 0",
        "fsched up --listen nowhere",
        "fsched config everything",
        "fsched completions cmd",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn completions_name_every_command() {
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "fsched", &mut script);
    let script = String::from_utf8(script).unwrap();
    for command in Cli::command().get_subcommands() {
        assert!(script.contains(command.get_name()), "{}", command.get_name());
    }
}
