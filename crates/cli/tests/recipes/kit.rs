//! What the tests stand on; it is that of the tests of reading.

#[path = "../reading/kit/deadline.rs"]
pub(crate) mod deadline;
#[expect(dead_code, reason = "the tests of reading use the rest")]
#[path = "../reading/kit/listing.rs"]
pub(crate) mod listing;
#[expect(dead_code, reason = "the tests of reading use the rest")]
#[path = "../reading/kit/netns.rs"]
pub(crate) mod netns;
#[expect(dead_code, reason = "the tests of reading use the rest")]
#[path = "../reading/kit/sys.rs"]
pub(crate) mod sys;
