//! Every limit on a guest, each with the attack that it stops.

use std::time::Duration;

/// What one plugin's calls may use; the configuration sets it for all, a manifest may ask for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestLimits {
    /// Sum over the linear memories of one instance, so that many small memories are no way around it.
    pub memory_bytes: u64,
    /// Time on a processor in one call: an endless loop.
    pub cpu: Duration,
    /// From start to end of one call, waiting included: a guest that sleeps for ever, or a host call that hangs.
    pub wall: Duration,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(30),
        }
    }
}

impl GuestLimits {
    /// For `describe`, which has nothing to do but to hand over constants: a loop or a bomb there would delay every start.
    pub(crate) const DESCRIBE: Self = Self {
        memory_bytes: 64 << 20,
        cpu: Duration::from_millis(500),
        // Processor time stops a loop; this is for a machine that is too busy to let it begin.
        wall: Duration::from_secs(10),
    };

    #[must_use]
    pub fn tightened_by(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            cpu: self.cpu.min(other.cpu),
            wall: self.wall.min(other.wall),
        }
    }
}

/// How often something may happen: `burst` times at once, and `per_second` in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) per_second: u32,
}

/// Of the places for instances, what one plugin may have of them in all sessions, at least one: a plugin that is called in a thousand
/// sessions and sleeps in each would have them all, and every other plugin's call would wait until its clock is over. Further calls of it
/// wait for a place of its own.
pub(crate) const PLUGIN_SHARE: (usize, usize) = (3, 4);

/// A component file: larger ones are refused before anything reads them whole. A Python component has 18 MB.
pub(crate) const MAX_COMPONENT_BYTES: u64 = 64 << 20;
/// A manifest beside a component: one of a gigabyte would be read and parsed at every start, before anybody has approved anything.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 64 << 10;

/// Elements over all tables of an instance: a table bomb takes 8 bytes of the host's memory for each.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;
/// The most that one linear memory can be configured to; the pooling allocator reserves address space for it, no memory.
pub(crate) const MAX_MEMORY_BYTES: u64 = 4 << 30;
/// Addresses that each linear memory takes, whatever of it is used: the engine then needs no check of bounds. A process whose address space
/// is limited to less can run no plugin.
pub const RESERVED_BYTES: u64 = (4 << 30) + (64 << 20);
/// Tables of an instance: thousands of empty ones have none of the elements above, and would take every place for tables that the pool has
/// from everybody else.
pub(crate) const MAX_TABLES: u32 = 16;
/// What the place of an instance keeps of its memory for the next one, zeroed: giving pages back to the system and taking them again
/// costs a small tool more than its work. A guest can make the host keep this much for each place, no more.
pub(crate) const MEMORY_KEPT: usize = 64 << 10;
/// The same of each of its tables; most have less than a page.
pub(crate) const TABLE_KEPT: usize = 4 << 10;
/// Memories of an instance: each reserves gigabytes of address space, however small it is, so that some hundred instances with hundreds of
/// memories would leave none. QuickJS components have three, componentize-py's one for each native module.
pub(crate) const MAX_MEMORIES: u32 = 16;
/// Core instances in one component: components that hold ten of each other, four levels deep, have 10,000, in a file of some hundred bytes,
/// and each costs time and memory at every call. componentize-py's have about 30.
pub(crate) const MAX_CORE_INSTANCES: u32 = 64;
/// Deep recursion ends in a trap here; less than the fiber's stack, since host calls run on it too.
pub(crate) const MAX_WASM_STACK: usize = 512 << 10;
pub(crate) const ASYNC_STACK: usize = 2 << 20;
/// Bytes that one host call or one result may move from guest to host: a guest can claim that its string has 2 GB.
pub(crate) const MAX_TRANSFER_BYTES: usize = 8 << 20;
/// Handles (files, streams, pollables) that a guest may hold: each is host memory.
pub(crate) const MAX_HANDLES: usize = 1_000;
/// Files and directories that one instance may hold open: a thousand of each guest's would leave the host none for its journal and its sockets.
/// All guests together get half of what the system allows the process.
pub(crate) const MAX_OPEN_FILES: usize = 128;
/// File operations of one call: each takes a turn on a thread of the host, and costs the guest next to nothing.
pub(crate) const MAX_FILE_OPERATIONS: u32 = 200_000;
/// Entries of directories in listings that an instance has not dropped: a listing lies in the host's memory, about 100 bytes for each entry.
pub(crate) const MAX_LISTED_ENTRIES: usize = 100_000;
/// Random bytes in one host call: they are made in the host's memory, and on a thread of the host's to which no tick comes meanwhile, so that
/// 2⁶⁴ of them would end the process, and a gigabyte would hold the thread for seconds.
pub(crate) const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// Kept of standard output and error each, the last of it: what a guest prints in a loop would fill the host's memory within seconds.
pub(crate) const MAX_STDIO_BYTES: usize = 16 << 10;
/// Log and progress bytes of one call: a flood would fill the terminal, the journal's readers and the disk.
pub(crate) const MAX_LOG_BYTES: usize = 64 << 10;
pub(crate) const MAX_PROGRESS_BYTES: usize = 64 << 10;
/// Log or progress calls of one call: an empty message costs the host as well.
pub(crate) const MAX_SINK_CALLS: u32 = 10_000;
/// Bytes of log, and of progress, of one plugin in one session: so many at first, then so many a second. A plugin that tells all that it may
/// in each of a thousand calls would fill the operator's disk and the terminal of whoever watches as well as one call without an end.
pub(crate) const SINK_RATE: Rate = Rate {
    burst: 1 << 20,
    per_second: 16 << 10,
};
/// What a tool returns for the model: it is journaled, and goes to the model again with each further request of its session. More belongs into
/// the workspace or must be paged.
pub(crate) const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Sum of the artifacts of one call: they are kept with the journal, so that a tool that is called again and again would fill the disk.
pub(crate) const MAX_ARTIFACT_BYTES: usize = 4 << 20;
/// State that a pattern may keep between steps: it is journaled whenever it changes, so that a megabyte that changes in each of a thousand
/// steps would be a gigabyte on the disk.
pub(crate) const MAX_PATTERN_STATE_BYTES: usize = 64 << 10;
/// Actions in one decision: each is journaled and is work for the host, and a step that decides 100,000 things costs the guest next to nothing.
pub(crate) const MAX_ACTIONS: usize = 64;
/// Calls of `kv` in one call of a plugin: each write is a commit that every session's journal waits behind.
pub(crate) const MAX_KV_CALLS: u32 = 4_096;
/// Keys in one answer of `kv.keys`: a space may have tens of thousands with nothing in them, and a guest that lists them all in a loop would
/// have the database read, and the host hold, all of them each time.
pub(crate) const MAX_KV_PAGE: u32 = 1_000;
/// What a memory recalls or lists at once; it is held, and what the model is shown of it is journaled.
pub(crate) const MAX_ENTRIES: usize = 256;
pub(crate) const MAX_ENTRIES_BYTES: usize = 256 << 10;
/// One entry, and its id: what is recalled is told to the model, and one entry of a megabyte would leave no room for anything else.
pub(crate) const MAX_ENTRY_BYTES: usize = 16 << 10;
pub(crate) const MAX_ENTRY_ID_BYTES: usize = 128;
/// One answer of `history.read`: a pattern that reads a result of a megabyte in a loop would have the host copy it each time.
pub(crate) const MAX_READ_BYTES: u32 = 64 << 10;

/// Bytes of a request's body: the host holds it while it is searched for secrets and sent. Less than `MAX_TRANSFER_BYTES`.
pub(crate) const MAX_REQUEST_BYTES: usize = 4 << 20;
/// Bytes of a response's body: a server sends without an end, and the host holds it while it is searched for secrets.
pub(crate) const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// Bodies of all requests and responses that the host holds at once: many sessions together could ask for more than the machine has.
pub(crate) const MAX_HELD_BYTES: usize = 256 << 20;
/// Headers of a request or a response, and their bytes: the host holds each of them and searches it for secrets, and a server may send a
/// hundred thousand.
pub(crate) const MAX_HEADERS: usize = 100;
pub(crate) const MAX_HEADER_BYTES: usize = 32 << 10;
/// How long a request may take, redirects and all, if the plugin doesn't say, and whatever it says: a server that sends a byte a minute.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(30);
pub(crate) const MAX_REQUEST_TIME: Duration = Duration::from_secs(120);
/// How long a server may take to accept a connection: one that says nothing holds a socket, and a place of its session.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a name may take to be resolved: whoever runs the name's server decides when it answers.
pub(crate) const LOOKUP_TIME: Duration = Duration::from_secs(5);
/// Names that are looked up at once. The system's resolver holds a thread for each, also when nobody waits any more: names of a server
/// that never answers would take all threads on which the host reads files.
pub(crate) const MAX_LOOKUPS: usize = 16;
/// Addresses of one name that are looked at: a server can answer with hundreds.
pub(crate) const MAX_ADDRESSES: usize = 16;
/// Servers that send each other's visitors around in a circle.
pub(crate) const MAX_REDIRECTS: u8 = 5;
/// Requests at once of a session, and of a plugin in all sessions: each is a socket and its buffers.
pub(crate) const MAX_SESSION_REQUESTS: u32 = 16;
pub(crate) const MAX_PLUGIN_REQUESTS: u32 = 64;
/// Requests of one plugin in one session, refused ones and redirects included: so many at first, then so many a second. A plugin that
/// feels its way along the policy fills the audit, and one that asks in a loop fills a network.
pub(crate) const SESSION_RATE: Rate = Rate {
    burst: 100,
    per_second: 20,
};
/// Requests of one plugin to one host in all sessions: plugins are no means to attack a third party with.
pub(crate) const HOST_RATE: Rate = Rate {
    burst: 200,
    per_second: 100,
};
/// Refusals of one call that its event names: a plugin that tries a thousand addresses would fill the journal with them.
pub(crate) const MAX_REFUSALS: usize = 8;

/// Tools in one component, and their descriptions: all of them go to the model with every request.
pub(crate) const MAX_TOOLS: usize = 128;
/// A tool's name alone: with its plugin's before it, it has to fit the limit below, or every request of its agent would fail.
pub(crate) const MAX_TOOL_NAME_BYTES: usize = 40;
/// A description: a stranger's text in every request, for which the user pays each time.
pub(crate) const MAX_DESCRIPTION_BYTES: usize = 4 << 10;
/// A model's providers accept names up to this length.
pub(crate) const MAX_MODEL_TOOL_NAME_BYTES: usize = 64;

/// An epoch tick: the longest that a guest holds a host thread before the host is asked.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// After its limit, how long the outer timer leaves the callback to stop a guest with the better message.
pub(crate) const WALL_GRACE: Duration = Duration::from_millis(10);
/// A call that took so much of a processor is a long one. A short one may overstay a tick now and then, where its memory is made for it.
pub(crate) const LONG: Duration = Duration::from_millis(4);
/// A plugin with a long call starts in the lane for this long.
pub(crate) const LONG_REMEMBERED: Duration = Duration::from_secs(10);

/// The compile worker. Wasmtime promises nothing about compile time: a 0.6 MB module was measured at 136 s and 2.9 GB.
/// A Python component takes 6 s of processor time, in a debug build of the host 13, so the wall has to be far on a busy machine.
/// A component of 1 MB is compiled in a third of a second, so that one that takes longer than this is no honest one. A file of 2 MB that is
/// made to take long has to be refused within 15 s, with the worker's start and end, on a machine that has something else to do.
pub(crate) const COMPILE_WALL: Duration = Duration::from_secs(8);
pub(crate) const COMPILE_WALL_PER_MIB: Duration = Duration::from_millis(2_500);
/// Where the kernel ends a worker, also if nobody looks at the clock any more. A worker compiles on all processors, so that on two this is
/// half as much on the clock: with 30, a file of 4 MB that is made to take long was refused after 15.1 s, and 24 leave room for the worker's
/// start and end. It is nearly twice what the Python component above takes in a debug build, for a slower machine.
pub(crate) const COMPILE_CPU_SECONDS: u64 = 24;
/// What a compiler may need: the module above would take all memory of a small machine.
pub(crate) const COMPILE_ADDRESS_SPACE: u64 = 3 << 30;
/// What the worker may answer: machine code is about 3 times the component, and one that a bug of the compiler has handed to the component
/// could send without an end.
pub(crate) const MAX_CODE_BYTES: u64 = 512 << 20;
/// How long a worker may take to say that it is one: a program that embeds us, and forgot that it is started as a worker, never does.
pub(crate) const WORKER_HANDSHAKE: Duration = Duration::from_secs(5);

/// Functions of a component; this and what follows is checked before Cranelift sees it. An empty function has three bytes, and costs the
/// compiler far more: a file could have twenty million.
pub(crate) const MAX_FUNCTIONS: u32 = 100_000;
/// Types of functions in all modules of a component, which are compared with each other: 400,000 took half a minute.
pub(crate) const MAX_TYPES: u32 = 20_000;
/// The body of one function: the time that it takes grows faster than it does, and nobody can help with one function.
pub(crate) const MAX_FUNCTION_BODY_BYTES: usize = 2 << 20;
/// Local variables of one function: four bytes declare a thousand, and each block of the function may have to keep them all.
pub(crate) const MAX_FUNCTION_LOCALS: u32 = 10_000;
/// Components in each other: each level can multiply what is in it, and whoever reads them has a state for each.
pub(crate) const MAX_NESTING: u32 = 16;
/// Imports and exports on all levels: each has a name that is compared with others. A file could have millions; componentize-py's components have 2,400, since CPython is linked inside from shared modules.
pub(crate) const MAX_IMPORTS: u32 = 10_000;
