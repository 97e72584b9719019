use super::*;
use crate::disk::is_full;

fn disk_with_file() -> (RecordingDisk, Arc<dyn DiskFile>) {
    let disk = RecordingDisk::new();
    let file = disk.create_zeroed("a", 2048).expect("an empty disk creates");
    (disk, file)
}

#[test]
fn only_a_synced_write_is_in_the_only_synced_image() {
    let (disk, file) = disk_with_file();
    file.write_at(0, b"kept").expect("writes");
    file.sync_data().expect("syncs");
    file.write_at(8, b"lost").expect("writes");
    let image = disk.crash(disk.operations(), Image::OnlySynced);
    let bytes = image.contents("a").expect("the name is durable");
    assert_eq!((&bytes[..4], &bytes[8..12]), (&b"kept"[..], &b"\0\0\0\0"[..]));
    let image = disk.crash(disk.operations(), Image::AllWritten);
    assert_eq!(&image.contents("a").expect("the name is durable")[8..12], b"lost");
}

#[test]
fn a_file_whose_folder_was_not_synced_may_vanish() {
    let (disk, _file) = disk_with_file();
    // Create, Zero, Sync, SyncFolder: before the last the name is not durable.
    assert!(disk.crash(3, Image::OnlySynced).contents("a").is_none());
    assert!(disk.crash(3, Image::AllWritten).contents("a").is_some());
    assert!(disk.crash(4, Image::OnlySynced).contents("a").is_some());
}

#[test]
fn a_random_image_keeps_some_blocks_and_loses_others() {
    let (disk, file) = disk_with_file();
    file.write_at(0, &[1; 2048]).expect("writes");
    let kept: Vec<_> = (0..20)
        .map(|seed| {
            let bytes = disk.crash(disk.operations(), Image::Random { seed }).contents("a").expect("durable name");
            bytes.chunks(512).map(|block| block[0] == 1).collect::<Vec<_>>()
        })
        .collect();
    assert!(kept.iter().any(|blocks| blocks.contains(&true) && blocks.contains(&false)));
    assert!(kept.iter().any(|blocks| !blocks[0] && blocks[3]), "a later block can survive an earlier one");
}

#[test]
fn a_torn_write_keeps_a_beginning() {
    let (disk, file) = disk_with_file();
    file.write_at(0, &[1; 100]).expect("writes");
    let bytes = disk.crash(disk.operations(), Image::TornLast { seed: 3 }).contents("a").expect("durable name");
    let kept = bytes.iter().take_while(|byte| **byte == 1).count();
    assert!(kept < 100 && bytes[kept..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_failed_sync_loses_its_writes_even_when_a_later_one_succeeds() {
    let (disk, file) = disk_with_file();
    file.write_at(0, b"lost").expect("writes");
    disk.fail_sync_after(0);
    assert!(file.sync_data().is_err());
    file.sync_data().expect("the second sync answers success, as on Linux");
    assert_eq!(&disk.contents("a").expect("there")[..4], b"lost", "the page cache still shows it");
    let image = disk.crash(disk.operations(), Image::OnlySynced);
    assert_eq!(&image.contents("a").expect("there")[..4], b"\0\0\0\0");
}

#[test]
fn each_call_fails_once_when_it_is_to_and_is_counted() {
    let (disk, file) = disk_with_file();
    let call = |call: Call| match call {
        Call::Sync => file.sync_data(),
        Call::Write => file.write_at(0, b"abcd"),
        Call::Create => disk.create_zeroed("b", 4).map(drop),
        Call::Remove => disk.remove("b"),
        Call::Read => file.read_at(0, &mut [0; 4]).map(drop),
    };
    for of in CALLS {
        disk.fail_after(of, 0);
        assert!(call(of).is_err(), "{of:?}");
        assert!(call(of).is_ok(), "{of:?}");
    }
    assert_eq!(disk.failures(), [1; CALLS.len()]);
}

#[test]
fn a_full_disk_refuses_new_bytes_and_takes_old_ones() {
    let (disk, file) = disk_with_file();
    disk.set_room(Some(10));
    assert!(is_full(&disk.create_zeroed("b", 11).err().expect("no room")));
    file.write_at(0, &[1; 2048]).expect("the room is there already");
    assert!(is_full(&file.write_at(2048, &[1; 11]).expect_err("no room")));
}
