//! What the tests stand on: namespaces, readers and programs are those of the other tests.

pub(crate) mod hooks;
pub(crate) mod program;
pub(crate) mod stage;

#[path = "../reading/kit/deadline.rs"]
pub(crate) mod deadline;
#[expect(dead_code, reason = "the tests of reading use the rest")]
#[path = "../reading/kit/listing.rs"]
pub(crate) mod listing;
#[expect(dead_code, reason = "the tests of reading use the rest")]
#[path = "../reading/kit/netns.rs"]
pub(crate) mod netns;
#[path = "../reading/kit/pair.rs"]
pub(crate) mod pair;
#[path = "../reading/kit/redis.rs"]
pub(crate) mod redis;
#[expect(dead_code, reason = "the tests of reading use the rest")]
#[path = "../reading/kit/socket.rs"]
pub(crate) mod socket;
#[expect(dead_code, reason = "the tests of reading use the rest")]
#[path = "../reading/kit/sys.rs"]
pub(crate) mod sys;
#[expect(dead_code, reason = "the tests of reading use the rest")]
#[path = "../reading/kit/truth.rs"]
pub(crate) mod truth;
