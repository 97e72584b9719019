//! What every link must do.

mod web_socket {
    skep_testkit::connection_suite!(skep_testkit::connection_suite::Way::WebSocket);
}

mod unix {
    skep_testkit::connection_suite!(skep_testkit::connection_suite::Way::Unix);
}

mod in_process {
    skep_testkit::connection_suite!(skep_testkit::connection_suite::Way::InProcess);
}
