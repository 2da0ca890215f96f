//! What became of the records, for the application to read.

use std::fmt;

/// What became of the records of this process so far.
///
/// Each record that ended is in one of four places: `produced == exported + spooled + waiting + lost`.
///
/// ```
/// assert_eq!(
///     tachograph::Report::default().to_string(),
///     "0 records: 0 delivered, 0 in the spool, 0 waiting, 0 lost"
/// );
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Records that ended.
    pub produced: u64,
    /// Records that the receiver acknowledged.
    pub exported: u64,
    /// Records in the spool that are not delivered yet. What is there at the end, the next start delivers.
    pub spooled: u64,
    /// Records in memory that are not delivered yet.
    pub waiting: u64,
    /// Records given up: refused by a full queue or by the receiver, or ended after shutdown, or still in memory at the end.
    pub lost: u64,
    /// Calls that returned before their record was as safe as [`Durability`](crate::Durability) promises, because the disk failed
    /// or the spool was full. Their records are counted above, wherever they are.
    pub unconfirmed: u64,
    /// Records of earlier processes that were found in the spool.
    pub adopted: u64,
    /// Of these, how many the receiver acknowledged.
    pub adopted_exported: u64,
    /// Of these, how many were given up: refused by the receiver, or not readable any more.
    pub adopted_lost: u64,
    /// Folders in the spool that stay as they are, because another release wrote them: what is in them is not counted here.
    pub folders_left: u64,
    /// How the spool is.
    pub spool: SpoolState,
    /// Bytes of the spool on the disk, those of earlier processes included.
    pub spool_bytes: u64,
}

/// How the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolState {
    /// There is none: records wait in memory alone.
    #[default]
    None,
    /// Records are written to it.
    Working,
    /// It has reached its bound: records wait in memory, and are delivered straight from there until it has room.
    Full,
    /// It can't be written: records are delivered straight from memory meanwhile, and the disk is tried again each second.
    Failing,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { produced, exported, spooled, waiting, lost, unconfirmed, .. } = self;
        write!(
            formatter,
            "{produced} records: {exported} delivered, {spooled} in the spool, {waiting} waiting, {lost} lost"
        )?;
        if *unconfirmed > 0 {
            write!(formatter, ", {unconfirmed} returned before they were safe")?;
        }
        if self.adopted > 0 {
            let Self { adopted, adopted_exported, adopted_lost, .. } = self;
            write!(formatter, "; {adopted} of earlier starts: {adopted_exported} delivered, {adopted_lost} lost")?;
        }
        if self.folders_left > 0 {
            write!(formatter, "; {} folders of another release left as they are", self.folders_left)?;
        }
        match self.spool {
            SpoolState::None | SpoolState::Working => Ok(()),
            SpoolState::Full => formatter.write_str("; the spool is full"),
            SpoolState::Failing => formatter.write_str("; the spool can't be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_all_that_is_not_as_usual() {
        let report = Report {
            produced: 9,
            exported: 4,
            spooled: 3,
            waiting: 1,
            lost: 1,
            unconfirmed: 2,
            adopted: 5,
            adopted_exported: 4,
            adopted_lost: 1,
            folders_left: 1,
            spool: SpoolState::Failing,
            spool_bytes: 1,
        };
        assert_eq!(
            report.to_string(),
            "9 records: 4 delivered, 3 in the spool, 1 waiting, 1 lost, 2 returned before they were safe; \
             5 of earlier starts: 4 delivered, 1 lost; 1 folders of another release left as they are; the spool can't be written"
        );
    }
}
