//! A data folder whose log is gone is no new data folder; one that never came so far is.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use skep_server::config::{Config, UnixSocket};
use skep_server::{Running, Server, ServerError};

use crate::hub::soon;

async fn start(data: &Path) -> Result<Running, ServerError> {
    let mut config = Config::new(data);
    config.listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    config.unix = UnixSocket::Off;
    soon("a hub starts, or not", Server::start(config)).await
}

async fn run_once(data: &Path) {
    let running = start(data).await.expect("a hub");
    soon("the hub shuts down", running.shutdown()).await.expect("closed in order");
}

#[tokio::test]
async fn a_data_folder_whose_log_was_removed_or_emptied_is_refused_and_left_as_it_is() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, copy) = (root.path().join("data"), root.path().join("copy"));
    run_once(&data).await;
    fs::rename(data.join("log"), &copy).expect("moved away");
    for emptied in [false, true] {
        if emptied {
            fs::create_dir(data.join("log")).expect("an empty folder");
        }
        let error = start(&data).await.err().expect("refused").to_string();
        let (folder, log) = (data.display().to_string(), data.join("log").display().to_string());
        assert!(error.contains(&log) && error.contains("from a copy"), "{error}");
        assert!(error.contains(&format!("move the whole folder {folder} away")), "{error}");
        let left = fs::read_dir(data.join("log")).map_or(0, Iterator::count);
        assert_eq!((data.join("log").exists(), left), (emptied, 0), "nothing is made in its place");
    }
    fs::create_dir(data.join("log/lost-1")).expect("the copy of a repair");
    assert!(matches!(start(&data).await, Err(ServerError::Folder(_))), "a copy is no log");
    fs::remove_dir_all(data.join("log")).expect("removed");
    fs::rename(&copy, data.join("log")).expect("put back");
    run_once(&data).await;
}

#[tokio::test]
async fn a_first_start_that_found_its_port_taken_does_not_hinder_the_next() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut config = Config::new(&data);
    config.listen = Some(taken.local_addr().expect("an address"));
    let error = soon("a hub does not start", Server::start(config)).await.err().expect("refused");
    assert!(matches!(error, ServerError::Listen { .. }), "{error}");
    run_once(&data).await;
}

#[tokio::test]
async fn a_first_start_makes_the_log_before_the_token() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("data");
    // A folder where the new token would be written: the start ends right there, as if it were killed.
    let obstacle = data.join("token.new");
    fs::DirBuilder::new().mode(0o700).create(&data).expect("a folder of ours alone");
    fs::create_dir(&obstacle).expect("a folder");
    start(&data).await.err().expect("no token can be made");
    let log = fs::read_dir(data.join("log")).map_or(0, Iterator::count);
    assert!(log > 0 && !data.join("token").exists(), "{log} files in the log");
    fs::remove_dir(&obstacle).expect("removed");
    run_once(&data).await;
}
