//! What was found in a store, in lines for people.

use std::fmt;
use std::ops::Range;

use super::{Checked, Cost, Damage, DamagedHistory, Lost, LostMessages, LostPiece, TornTail};

impl fmt::Display for Checked {
    /// Some lines for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.positions;
        let up_to = if self.sound { "" } else { ", up to the damage" };
        writeln!(
            f,
            "read       {} records in {} batches, {} segments{up_to}",
            self.records, self.batches, self.segments
        )?;
        writeln!(f, "positions  {start} to {end} (end exclusive)")?;
        writeln!(f, "durable    below {} by proof of the log itself", self.durable_below)?;
        if self.sound {
            let closed = if self.closed_in_order { "in order" } else { "not in order" };
            writeln!(f, "closed     {closed}, {} good bytes at the end without proof", self.unproven_bytes)?;
        }
        if let Some(TornTail { file, bytes: Range { start, end }, position, fault }) = &self.torn {
            let length = end - start;
            writeln!(
                f,
                "torn tail  {file}: {length} bytes from byte {start}, position {position} ({fault}); nothing shows that they were ever durable, and the next start cuts them off"
            )?;
        }
        if let Some(position) = self.snapshot {
            writeln!(f, "snapshot   at position {position}: older segments were removed where nothing needed them")?;
        }
        for damaged in &self.snapshots_damaged {
            writeln!(f, "passed by  {damaged}; a start goes on without it, and the next snapshots take its place")?;
        }
        for DamagedHistory { file, positions: Range { start, end }, fault, .. } in &self.history_damaged {
            writeln!(
                f,
                "history    {file} ({fault}): positions {start} to {end} can be looked at no more; a snapshot stands for them"
            )?;
        }
        for Range { start, end } in &self.given_up {
            writeln!(f, "given up   positions {start} to {end}, by a repair")?;
        }
        match &self.damage {
            None => f.write_str("sound"),
            Some(damage) => damage.fmt(f),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged    {}", self.text)?;
        if let Some(why) = &self.irreparable {
            return write!(f, "\nno repair  {why}");
        }
        self.cost.as_ref().map_or(Ok(()), |cost| cost.fmt(f))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.losses.iter().try_for_each(|lost| write!(f, "\n{lost}"))?;
        self.unsettled.iter().try_for_each(|lost| write!(f, "\n{lost}"))?;
        write!(f, "\nkept       {} records before it as they are", self.records_before)?;
        write!(f, ", {} records in {} batches behind it, written once more", self.records_behind, self.batches_behind)?;
        for queue in &self.nameless_queues {
            write!(f, "\nqueue      {queue}: its declaration is lost, and it keeps its messages under this name")?;
        }
        match self.copied.as_slice() {
            [] => Ok(()),
            copied => write!(f, "\ncopied     {}, before anything is changed", copied.join(", ")),
        }
    }
}

impl fmt::Display for LostMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.queue {
            Some(queue) => write!(f, "unsettled  queue {queue}: positions ")?,
            None => f.write_str("notices    senders who are not told that their dead letters died: positions ")?,
        }
        for (index, Range { start, end }) in self.positions.iter().enumerate() {
            write!(f, "{}{start} to {end}", if index > 0 { ", " } else { "" })?;
        }
        f.write_str(" (end exclusive)")
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost       ")?;
        for (index, LostPiece { file, bytes: Range { start, end }, fault }) in self.pieces.iter().enumerate() {
            let and = if index > 0 { ", " } else { "" };
            match start < end {
                true => write!(f, "{and}{file} bytes {start}..{end} ({fault})")?,
                false => write!(f, "{and}{file} ({fault})")?,
            }
        }
        let Range { start, end } = self.positions;
        if start == end {
            return f.write_str(": no record");
        }
        write!(f, ": positions {start} to {end} (end exclusive)")?;
        if self.durable_below < end {
            write!(
                f,
                ", of which those below {} were durable and the rest may never have been used",
                self.durable_below
            )?;
        }
        match self.batches_told_of {
            0 => f.write_str("; no header in it can be read"),
            batches => write!(f, "; headers in it tell of {batches} batches with {} records", self.records_told_of),
        }
    }
}
