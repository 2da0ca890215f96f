//! Reading a policy, line by line. It is a file of bytes: names are compared as they stand.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Group, MAX_POLICY_BYTES, MAX_POLICY_ENTRIES, Member, Policy, PolicyError, PolicyLog, PolicyWitness, Quorum,
};
use crate::cosignature::{WitnessName, WitnessVerifyingKey};
use crate::note::{KeyError, VerifyingKey};
use crate::text;

/// What is read so far.
#[derive(Default)]
struct Reader<'a> {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<(Quorum, String)>,
    /// Witnesses and groups, and whether one is a member of a group already.
    names: BTreeMap<&'a [u8], (Member, bool)>,
}

pub(super) fn parse(text: &[u8]) -> Result<Policy, PolicyError> {
    if text.len() > MAX_POLICY_BYTES {
        return Err(PolicyError::TooLong { bytes: text.len() });
    }
    let mut reader = Reader::default();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        reader.line(line).map_err(|problem| problem.at(at + 1))?;
    }
    let (quorum, quorum_name) = reader.quorum.ok_or(PolicyError::NoQuorum)?;
    let Reader { logs, witnesses, groups, .. } = reader;
    Ok(Policy { logs, witnesses, groups, quorum, quorum_name })
}

/// What is wrong with a line.
enum Problem {
    What(String),
    Key(KeyError),
}

impl Problem {
    fn at(self, line: usize) -> PolicyError {
        match self {
            Self::What(what) => PolicyError::Line { line, what },
            Self::Key(source) => PolicyError::Key { line, source },
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

fn problem<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::What(what.into()))
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), Problem> {
        if let Some(byte) = line.iter().find(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return problem(format!(
                "the control character {byte:#04x} is not allowed; lines end with a newline alone"
            ));
        }
        let mut items = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|item| !item.is_empty());
        let Some(word) = items.next() else { return Ok(()) };
        if word.starts_with(b"#") {
            return Ok(());
        }
        let items: Vec<&[u8]> = items.collect();
        match (word, items.as_slice()) {
            (b"log", [vkey]) => self.log(vkey, None),
            (b"log", [vkey, url]) => self.log(vkey, Some(url)),
            (b"log", _) => problem("a log is `log <vkey> [<url>]`"),
            (b"witness", [name, vkey]) => self.witness(name, vkey, None),
            (b"witness", [name, vkey, url]) => self.witness(name, vkey, Some(url)),
            (b"witness", _) => problem("a witness is `witness <name> <vkey> [<url>]`"),
            (b"group", [name, threshold, members @ ..]) => self.group(name, threshold, members),
            (b"group", _) => problem("a group is `group <name> all|any|<k> <member>…`"),
            (b"quorum", [name]) => self.quorum(name),
            (b"quorum", _) => problem("the quorum is `quorum <name>` or `quorum none`"),
            (word, _) => problem(format!("`{}` is none of log, witness, group and quorum", shown(word))),
        }
    }

    fn log(&mut self, vkey: &[u8], url: Option<&[u8]>) -> Result<(), Problem> {
        let key = VerifyingKey::parse(utf8(vkey, "verifier key")?)?;
        if self.logs.iter().any(|log| log.key.as_bytes() == key.as_bytes()) {
            return problem("another log line has this public key: keep one");
        }
        if self.logs.len() == MAX_POLICY_ENTRIES {
            return problem(format!("there are more than {MAX_POLICY_ENTRIES} logs"));
        }
        self.logs.push(PolicyLog { key, url: url.map(|url| utf8(url, "URL")).transpose()?.map(str::to_owned) });
        Ok(())
    }

    fn witness(&mut self, name: &'a [u8], vkey: &[u8], url: Option<&[u8]>) -> Result<(), Problem> {
        let key = WitnessVerifyingKey::parse(utf8(vkey, "verifier key")?)?;
        if self.witnesses.iter().any(|witness| witness.key.as_bytes() == key.as_bytes()) {
            return problem("another witness line has this public key: one witness would count twice; keep one");
        }
        if self.witnesses.len() == MAX_POLICY_ENTRIES {
            return problem(format!("there are more than {MAX_POLICY_ENTRIES} witnesses"));
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        let url = url.map(|url| utf8(url, "URL")).transpose()?.map(str::to_owned);
        self.witnesses.push(PolicyWitness { name: shown(name), key, url });
        Ok(())
    }

    fn group(&mut self, name: &'a [u8], threshold: &[u8], members: &[&'a [u8]]) -> Result<(), Problem> {
        if members.is_empty() {
            return problem("a group has at least one member");
        }
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            number => {
                let number = std::str::from_utf8(number).ok().and_then(text::parse_decimal);
                match number.and_then(|number| usize::try_from(number).ok()) {
                    Some(number) if (1..=members.len()).contains(&number) => number,
                    _ => return problem(format!("of {} members `all`, `any` or 1 to {0} can be asked", members.len())),
                }
            }
        };
        if self.groups.len() == MAX_POLICY_ENTRIES {
            return problem(format!("there are more than {MAX_POLICY_ENTRIES} groups"));
        }
        let members = members.iter().map(|member| self.member(member)).collect::<Result<Vec<_>, _>>()?;
        if threshold > 1
            && let Some(twice) = self.key_name_twice(&members, threshold == members.len())
        {
            return problem(format!(
                "the keys of one witness, {twice}, stand in two of the members, so that it could count twice: put its keys into a group of their own, `all` of them or `any`, and name that here"
            ));
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members });
        Ok(())
    }

    fn member(&mut self, name: &[u8]) -> Result<Member, Problem> {
        match self.names.get_mut(name) {
            Some((_, true)) => problem(format!("`{}` is a member already; it can be one once only", shown(name))),
            Some((member, taken)) => {
                *taken = true;
                Ok(*member)
            }
            None => problem(format!("no line before this one defines a witness or group `{}`", shown(name))),
        }
    }

    /// A key name that stands beneath two of these members, so that one witness could count as two. Where `all` are asked for, those that
    /// are keys themselves may share a name: each must have signed.
    fn key_name_twice(&self, members: &[Member], all: bool) -> Option<&WitnessName> {
        let mut seen = BTreeMap::new();
        members.iter().find_map(|member| {
            let is_key = matches!(member, Member::Witness(_));
            let mut names = BTreeSet::new();
            self.key_names(*member, &mut names);
            names.into_iter().find(|name| seen.insert(*name, is_key).is_some_and(|was_key| !(all && is_key && was_key)))
        })
    }

    /// The key names beneath a member. Each is a member once only, so that groups are trees.
    fn key_names<'r>(&'r self, member: Member, names: &mut BTreeSet<&'r WitnessName>) {
        match member {
            Member::Witness(at) => {
                names.insert(self.witnesses[at].key.name());
            }
            Member::Group(at) => self.groups[at].members.iter().for_each(|member| self.key_names(*member, names)),
        }
    }

    fn define(&mut self, name: &'a [u8], member: Member) -> Result<(), Problem> {
        if name == b"none" {
            return problem("the name `none` is taken: choose another");
        }
        if self.names.insert(name, (member, false)).is_some() {
            return problem(format!("the name `{}` is defined twice: choose another", shown(name)));
        }
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), Problem> {
        if self.quorum.is_some() {
            return problem("there is a second quorum line: keep one");
        }
        let quorum = match (name, self.names.get(name)) {
            (b"none", _) => Quorum::None,
            (_, Some((member, _))) => Quorum::Of(*member),
            (_, None) => {
                return problem(format!("no line before this one defines a witness or group `{}`", shown(name)));
            }
        };
        self.quorum = Some((quorum, shown(name)));
        Ok(())
    }
}

fn utf8<'t>(bytes: &'t [u8], what: &str) -> Result<&'t str, Problem> {
    std::str::from_utf8(bytes).or_else(|_| problem(format!("the {what} is not UTF-8")))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
