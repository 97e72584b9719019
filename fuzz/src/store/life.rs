//! A log through writes, restarts and power losses: nothing answered as durable is lost, and no position is used twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_embedded::log::{
    BatchAt, LogBuffer, Mode, OpenError, OpenWith, Opened, Plan, RecordKind, RecordView, SegmentSizes, Writer, limits,
    open, plan,
};

use crate::script::Script;

/// So short that a few batches fill a segment.
const SMALL: SegmentSizes = SegmentSizes { first: 4096, max: 8192 };
const STORE: [u8; 16] = *b"store-id-of-fuzz";
/// More steps teach nothing new.
const STEPS_MAX: usize = 24;

/// A record as recovery handed it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its position.
    pub position: u64,
    /// Its kind and flags.
    pub kind: (RecordKind, u8),
    /// Its bytes.
    pub body: Vec<u8>,
    /// The batch it was said to lie in.
    pub batch: BatchAt,
    /// Where in the batch.
    pub offset: u32,
}

impl Seen {
    fn of(view: &RecordView<'_>) -> Self {
        let (kind, body) = ((view.kind, view.flags), view.body.to_vec());
        Seen { position: view.position, kind, body, batch: view.batch, offset: view.offset }
    }
}

/// Opens a log with short segments; answers every record that was visited.
///
/// # Errors
/// What the log answers.
pub fn open_log(disk: &RecordingDisk) -> Result<(Opened, Vec<Seen>), OpenError> {
    let mut seen = Vec::new();
    let opened = open(Arc::new(disk.clone()), with(), &mut |view| {
        seen.push(Seen::of(&view));
        Ok(())
    })?;
    Ok((opened, seen))
}

/// What a repair of it would do, and the records it foresees.
///
/// # Errors
/// What the log answers.
pub fn plan_repair(disk: &RecordingDisk) -> Result<(Plan, Vec<Seen>), OpenError> {
    let mut seen = Vec::new();
    let plan = plan(Arc::new(disk.clone()), with(), &mut |view| {
        seen.push(Seen::of(&view));
        Ok(())
    })?;
    Ok((plan, seen))
}

fn with() -> OpenWith {
    OpenWith { sizes: SMALL, ..OpenWith::new(STORE, 1_000) }
}

/// A log, and all that is known of it.
pub struct Life {
    /// Where it lies.
    pub disk: RecordingDisk,
    /// What was staged and may still be there, by position.
    pub staged: BTreeMap<u64, Vec<u8>>,
    /// Everything staged below was answered as durable.
    durable: u64,
    /// Every position below was used.
    used: u64,
    writer: Box<Writer>,
    buffer: LogBuffer,
}

impl Life {
    /// Lives until the script says that it ends. It ends killed.
    #[must_use]
    pub fn live(script: &mut Script<'_>) -> Self {
        let disk = RecordingDisk::new();
        let (writer, buffer) = writable(open_log(&disk).expect("an empty disk takes a log").0);
        let mut life = Life { disk, staged: BTreeMap::new(), durable: 0, used: 0, writer, buffer };
        for _ in 0..STEPS_MAX {
            match script.byte() {
                0 => break,
                step => life.step(step, script),
            }
        }
        life
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let last = self.disk.operations();
        match step % 8 {
            0..=2 => self.write(script, step & 0x80 == 0),
            3 => drop(self.writer.prove(2_000, false).expect("a healthy log proves")),
            4 => {
                self.writer.prove(3_000, true).expect("a healthy log closes");
                self.restart(true);
            }
            5 => self.restart(true),
            6 => drop(self.writer.spares().prepare().expect("there is room")),
            _ => {
                let seed = u64::from(script.byte());
                let image = match step >> 3 & 3 {
                    0 => Image::OnlySynced,
                    1 => Image::AllWritten,
                    2 => Image::TornLast { seed },
                    _ => Image::Random { seed },
                };
                self.disk = self.disk.crash(last, image);
                self.restart(false);
            }
        }
    }

    fn write(&mut self, script: &mut Script<'_>, sync: bool) {
        for _ in 0..=script.byte() % 4 {
            let body = vec![script.byte(); usize::from(script.byte()) * 8];
            let staged = self.buffer.append(RecordKind::Message, 0, |bytes| bytes.extend_from_slice(&body));
            assert!(staged.position >= self.used, "position {} was used before", staged.position);
            self.used = staged.position + 1;
            self.staged.insert(staged.position, body);
        }
        if script.byte() == 1 {
            self.buffer.append_reserve(self.writer.position_limit() + limits::POSITION_BLOCK);
        }
        let written = self.writer.write(&mut self.buffer, 1_000, sync).expect("a healthy log writes");
        self.buffer.restart(written.end);
        self.used = self.used.max(written.end);
        self.durable = self.durable.max(written.durable);
    }

    /// Opens the log again. Killed, it loses nothing; by a power loss, only what nobody was told to be durable.
    fn restart(&mut self, loses_nothing: bool) {
        let (opened, seen) = open_log(&self.disk).expect("a log that nobody harmed opens");
        assert!(opened.report.corruption.is_none(), "{}", opened.report);
        let visited: BTreeMap<u64, Vec<u8>> = seen.into_iter().map(|seen| (seen.position, seen.body)).collect();
        for (position, body) in &visited {
            assert_eq!(self.staged.get(position), Some(body), "position {position} is not what was written there");
        }
        for position in self.staged.keys().filter(|position| !visited.contains_key(position)) {
            assert!(!loses_nothing && *position >= self.durable, "position {position} is lost, {}", opened.report);
        }
        assert!(opened.next_position >= self.used, "positions are never used again");
        (self.staged, self.durable) = (visited, opened.next_position);
        (self.writer, self.buffer) = writable(opened);
    }
}

fn writable(opened: Opened) -> (Box<Writer>, LogBuffer) {
    let Mode::ReadWrite(writer) = opened.mode else { panic!("read-only, unharmed: {}", opened.report) };
    (writer, LogBuffer::new(opened.next_position))
}

/// Lives in which everything happens once, and each kind of harm at their end.
#[must_use]
pub fn scripts() -> Vec<Vec<u8>> {
    // Two records synced, a proof, a write not synced; then as the life goes on.
    let first = [1, 1, 7, 3, 8, 90, 0, 3, 0x81, 0, 9, 40, 0];
    let lives: [&[u8]; 6] = [
        &[],
        &[4, 1, 0, 5, 200, 0],
        &[5, 1, 2, 1, 200, 2, 200, 3, 200, 0, 6, 1, 0, 4, 200, 0, 3],
        &[7, 3, 1, 0, 5, 9, 1],
        &[7 + 24, 1, 1, 0, 5, 9, 0, 3, 4],
        &[7 + 16, 9, 6, 0x81, 3, 1, 250, 2, 250, 3, 250, 4, 250, 1, 5],
    ];
    // How, which file, where, and what else it takes.
    let harms: [&[u8]; 8] = [
        &[],
        &[1, 0, 70, 16, 1],
        &[2, 0, 0, 0],
        &[3, 0, 80, 16],
        &[4, 0, 4, 16, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[5, 1, 0, 16, 40, 0],
        &[6, 0, 200, 16, 0, 0, 16, 100, 0],
        &[1, 0, 32, 16, 3, 0, 0, 0, 16],
    ];
    let script = |life: &[u8], harm: &[u8]| [&first, life, &[0], harm].concat();
    lives.iter().flat_map(|life| harms.iter().map(move |harm| script(life, harm))).collect()
}
