/* farswap.h - far memory for a linked program. C99 and C++.
 *
 * A client talks to memory servers. A group limits how much of its regions is
 * local. A region is a range of addresses whose pages live locally or on a
 * server, moved by page faults; the program reads and writes it as memory.
 *
 * Conventions, of every function:
 *  - 0 or a positive value is success; a negative value is -errno, and errno
 *    itself means nothing. farswap_strerror() names it, farswap_last_error()
 *    tells the whole story of the calling thread's last failure. Beside the
 *    errors that are named, any may return -EINVAL (a NULL), -ENOMEM, -EIO,
 *    and -EPERM in a forked child.
 *  - Option structs begin with their size. farswap_*_options_init(&options,
 *    sizeof(options)) sets it and the defaults; it is told the size because a
 *    library newer than its caller must not write past the caller's struct.
 *    Such a library uses the defaults for fields that the caller's struct
 *    does not have. An older one refuses fields that it does not know, unless
 *    they are zero. Structs and strings are copied: they may go after the call.
 *  - Handles are opaque, and may be used from any thread, by several at once.
 *    A call that fails makes no handle, and destroys none. One that destroyed
 *    its handle was the last to use it: neither a second destroy nor any other
 *    call may follow, or be under way. Children go before their parents.
 *  - No function throws. None is async-signal-safe; but handlers may touch far
 *    memory: they do not run on the library's threads, where every signal is
 *    blocked (gRPC's among them, unless the program started gRPC before). Not
 *    those that run on a thread amid a call on a region, which may hold what
 *    their fault needs: block such signals around the call.
 *  - After fork() both go on with all far memory as it was, each with its own
 *    from then on. The child's is served by the parent, and what is local of it
 *    counts against no limit; what it keeps on servers that the parent has not
 *    any more counts against the swap limit of the group, until it ends. If
 *    the parent ends first, or executes a program, the child is ended
 *    (SIGKILL), and if it closes the client, what the child has not touched
 *    raises SIGBUS. What takes a handle or makes one is -EPERM in the child,
 *    until it executes a program. A child's child and a raw clone have what was
 *    local, and SIGBUS for the rest; so have all beyond 64 children at a time,
 *    a child that is forked while another thread makes a raw clone, and one
 *    that may not have a thread with descriptors of its own (unshare and
 *    close_range refused). What other threads move (mremap) or unmap while
 *    one forks raises SIGBUS in the child. A raw clone (not fork()) is not to
 *    be made while another thread moves far memory: it may read zeros there.
 *    fork() waits while RLIMIT_NOFILE leaves no number for a descriptor. It
 *    takes CAP_SYS_PTRACE, and not that of a user namespace; without it the
 *    child has no far memory: its pages are not mapped there (SIGSEGV, never
 *    zeros).
 *
 * Rules for the program:
 *  - It may munmap, mprotect, mlock and madvise (DONTNEED, FREE, REMOVE,
 *    HUGEPAGE, NOHUGEPAGE) parts of a region, from any thread. What is
 *    discarded reads as zeros; what is protected or locked stays local, and
 *    counts. It may mremap them: they are far memory where they go to, and
 *    farswap_region calls still name them by their offset; what is grown is
 *    the program's own memory, and stays when the region is destroyed. If
 *    threads move memory from, or to, the same addresses in one moment, so that
 *    nobody can tell which was first, what was remote of it is SIGBUS. It does
 *    not mlockall, and unmaps nothing, and maps or moves nothing over, what is
 *    not its own: a stack of the library's threads may be there.
 *  - It gives pages to the kernel to be copied within a call, as read, write,
 *    send and recv do. What the kernel keeps by reference is not safe:
 *    vmsplice and MSG_ZEROCOPY, and O_DIRECT or asynchronous I/O where the
 *    file system takes references instead of pins (NFS and FUSE do). The page
 *    may be taken out meanwhile, and what the kernel then reads or writes is
 *    somebody else's. Such I/O goes through a buffer of plain memory.
 *  - What the kernel pins (O_DIRECT on ext4 and XFS, registered io_uring
 *    buffers, RDMA) stays where it is, and counts as local while it does: much
 *    less than the limit is to be pinned at a time.
 *  - It closes no descriptors but its own (no closefrom or close_range over
 *    the library's): without them pages that are out read as zeros.
 */
#ifndef FARSWAP_H_
#define FARSWAP_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FARSWAP_VERSION_MAJOR 0
#define FARSWAP_VERSION_MINOR 1

#if defined(__GNUC__)
#define FARSWAP_API __attribute__((visibility("default")))
#else
#define FARSWAP_API
#endif

typedef struct farswap_client farswap_client;
typedef struct farswap_group farswap_group;
typedef struct farswap_region farswap_region;

/* What becomes of a fault that cannot be served: its deadline passed, its
 * contents are lost, its checksum is wrong. Never zeros, never old bytes. */
typedef enum {
  /* The page is poisoned: this and every later touch is SIGBUS. */
  FARSWAP_FAIL_POISON = 0,
  /* The process is aborted. */
  FARSWAP_FAIL_ABORT = 1,
  /* Past its deadline it waits on, until its server is back: the thread stays
   * in the fault, a line on stderr every minute says so, stats.faults_overdue
   * counts. What is known to be lost is poisoned all the same: a server that
   * came back without the contents, a wrong checksum, a session that the
   * server gave up. It may do that fault_deadline_ms after it last heard of
   * the client if it needs the room, and does when its retention time (by
   * default 24 h) is over; the client is told when it reaches the server. */
  FARSWAP_FAIL_WAIT = 2,
} farswap_fail_policy;

typedef struct {
  size_t size; /* Of this struct, as the caller knows it. */
  /* Servers: "HOST:PORT" or "unix:PATH", comma-separated. Required. This
   * version takes one. */
  const char* servers;
  /* How long a fault waits for a server before it fails. Milliseconds.
   * Default 60000, at least 100. */
  uint64_t fault_deadline_ms;
  /* Local memory for folios on their way in and out, beyond the groups'
   * limits. Bytes, a multiple of 2 MiB. Default 32 MiB, at least 8 MiB. */
  uint64_t staging_bytes;
  /* For people, in the server's list of sessions. Default: the program. */
  const char* name;
  /* "HOST:PORT": the client's statistics are there for Prometheus, at /metrics,
   * while it is open. Port 0: any; farswap_client_metrics_address tells which.
   * Plain HTTP: mind who can reach it. Default NULL or "": nowhere. */
  const char* metrics_listen;
} farswap_client_options;

/* As the other _init functions: `size` is sizeof(*options). Does nothing if
 * that is no struct's size, or `options` is NULL. */
FARSWAP_API void farswap_client_options_init(farswap_client_options* options,
                                             size_t size);

/* Connects, opens a session, starts the library's threads. Waits up to 10 s
 * for the server.
 *  -EINVAL        an option is wrong, the server refuses it, or nobody can
 *                 listen at metrics_listen
 *  -EPERM         no privilege for userfaultfd: needs CAP_SYS_PTRACE or
 *                 access to /dev/userfaultfd
 *  -ENOSYS        the kernel lacks something: Linux 6.8 is needed
 *  -EHOSTUNREACH  no server answered */
FARSWAP_API int farswap_client_open(const farswap_client_options* options,
                                    farswap_client** client);

/* Ends the threads, gives the clusters back, frees the handle. Takes seconds at
 * most, also if the server is away; but as long as a server at the other end
 * of a Unix socket is stopped (SIGSTOP) amid a write to it.
 *  -EBUSY  a group is left */
FARSWAP_API int farswap_client_close(farswap_client* client);

typedef struct {
  size_t size;
  /* Local memory of the group's regions together, and of the groups below it.
   * Bytes, at least 8 MiB. Required. A hard limit. */
  uint64_t local_limit;
  /* The group that this one is below: what is local here is also within its
   * limit, and when that is short the groups below it give, each in proportion
   * to what it has. At most 8 deep. Null (default): none. */
  farswap_group* parent;
  /* How much of the group's memory, and of that of the groups below it, may be
   * on servers. Bytes; 0 (default): no limit. Beyond it memory stays local, and
   * a group that is at both limits has no room for more: a fault then waits for
   * its deadline, and its region's policy decides. */
  uint64_t swap_limit;
} farswap_group_options;

FARSWAP_API void farswap_group_options_init(farswap_group_options* options,
                                            size_t size);

/*  -EINVAL  the limit is too small; the parent is another client's, or 8 deep
 */
FARSWAP_API int farswap_group_create(farswap_client* client,
                                     const farswap_group_options* options,
                                     farswap_group** group);

/* Sets another local limit, while the group's regions are in use. A higher one
 * gives room at once. With a lower one nothing more comes in before as much has
 * gone out; what is beyond it goes out in the background, at the wire's speed.
 * What is pinned (farswap_region_pin) stays.
 *  -EINVAL  the limit is too small, for a group or for what is pinned; nothing
 *           has changed then */
FARSWAP_API int farswap_group_set_limit(farswap_group* group,
                                        uint64_t local_limit);

/* Sets another swap limit; 0: none. What is on servers beyond a lower one stays
 * there until it is used. */
FARSWAP_API int farswap_group_set_swap_limit(farswap_group* group,
                                             uint64_t swap_limit);

/*  -EBUSY  a region, or a group below it, is left */
FARSWAP_API int farswap_group_destroy(farswap_group* group);

typedef struct {
  size_t size;
  /* Bytes; rounded up to 2 MiB. Required. Costs nothing until touched. */
  uint64_t bytes;
  int fail_policy; /* A farswap_fail_policy. */
  /* 1 (default): pages are first given, and mapped, in 2 MiB where a whole
   * block is untouched. 0: in 64 KiB, for regions touched sparsely. */
  int huge;
} farswap_region_options;

FARSWAP_API void farswap_region_options_init(farswap_region_options* options,
                                             size_t size);

/* Maps an anonymous region; it reads as zeros until written.
 *  -EINVAL  an option is wrong
 *  -ENOMEM  no address space */
FARSWAP_API int farswap_region_create(farswap_group* group,
                                      const farswap_region_options* options,
                                      farswap_region** region);

/* Unmaps it and frees its slots. No thread may be touching it. */
FARSWAP_API int farswap_region_destroy(farswap_region* region);

/* The region's first byte, 2 MiB aligned, and its length in bytes, as rounded.
 * Of a NULL region: NULL and 0. */
FARSWAP_API void* farswap_region_address(const farswap_region* region);
FARSWAP_API uint64_t farswap_region_length(const farswap_region* region);

/* Hints: what a program knows of its use of a range. `offset` and `bytes` are
 * the region's, treated as by madvise(2): an offset that is no multiple of
 * 4096 is -EINVAL, the length is rounded up to one, 0 bytes are nothing to do,
 * and a range that reaches past the region is -ENOMEM. Ranges are exact: what
 * is larger than a page is cut at their ends, so whole 2 MiB cost least. */

/* Brings the range in and keeps it there: it counts against the group's limit
 * and never goes out. May wait as a fault does. Pins do not nest. A folio that
 * the program itself cuts, by madvise or munmap, loses its pin as a whole.
 *  -ENOMEM   8 MiB of the limit, or a sixteenth if that is more (at most 128
 *            MiB), must stay unpinned
 *  -ENODATA  a page is lost
 *  -EAGAIN   a page was in use until the fault deadline
 * Nothing is pinned then that was not before. */
FARSWAP_API int farswap_region_pin(farswap_region* region, uint64_t offset,
                                   uint64_t bytes);
/* The range may go out again. Best the range that was pinned: a folio that
 * reaches past it stays pinned. */
FARSWAP_API int farswap_region_unpin(farswap_region* region, uint64_t offset,
                                     uint64_t bytes);

/* Asks for what is out, and returns at once. It comes in when no fault is being
 * served, as long as there is room under the limit; what there is no room for,
 * or what is beyond 64 such ranges at a time, is dropped and counted. */
FARSWAP_API int farswap_region_prefetch(farswap_region* region, uint64_t offset,
                                        uint64_t bytes);

/* Takes the range out, now, in one pass: what is pinned, in I/O, or next to a
 * change of the program's map stays. Waits for the wire as reclaim does, up to
 * the fault deadline. */
FARSWAP_API int farswap_region_cold(farswap_region* region, uint64_t offset,
                                    uint64_t bytes);

/* The range reads as zeros from now on, lost pages too. Its memory and its
 * place on servers are freed, and nothing is written. What other threads write
 * there meanwhile may be lost.
 *  -EINVAL  a page is pinned: nothing is done; or it was pinned by another
 *           thread meanwhile, or unmapped by the program: what is before it
 *           may be discarded */
FARSWAP_API int farswap_region_discard(farswap_region* region, uint64_t offset,
                                       uint64_t bytes);

enum {
  FARSWAP_PAGE_ZERO = 0,     /* Reads as zeros; takes no memory anywhere. */
  FARSWAP_PAGE_RESIDENT = 1, /* Local. */
  FARSWAP_PAGE_REMOTE = 2,   /* On a server, or on its way there. */
  FARSWAP_PAGE_LOST = 3,     /* SIGBUS, or unmapped. */
};

/* Says of each 4 KiB page of the range what it is, as mincore(2): a byte a page
 * to `pages`, which has (bytes + 4095) / 4096 of them. It may be otherwise by
 * the time of the return. */
FARSWAP_API int farswap_region_residency(const farswap_region* region,
                                         uint64_t offset, uint64_t bytes,
                                         unsigned char* pages);

#define FARSWAP_ORDERS 10

typedef struct {
  size_t size;                     /* Set by the caller. */
  uint64_t faults;                 /* Page fault messages served. */
  uint64_t faults_failed;          /* Poisoned or aborted. */
  uint64_t refaults;               /* Folios that came back from a server. */
  uint64_t swpin[FARSWAP_ORDERS];  /* Folios read from a server, by order. */
  uint64_t swpout[FARSWAP_ORDERS]; /* Folios written to a server. */
  uint64_t swpin_zero;             /* Folios that came back as zeros, unread. */
  uint64_t swpout_zero;            /* Zero folios taken out, unwritten. */
  uint64_t swpout_clean;           /* Folios taken out unchanged, unwritten. */
  uint64_t swpin_cached; /* Faults served from a folio on its way out. */
  uint64_t swpin_bytes;
  uint64_t swpout_bytes;
  uint64_t thp_swpin;          /* 2 MiB folios swapped in and mapped huge. */
  uint64_t thp_swpin_fallback; /* 2 MiB swap-ins that were not. */
  uint64_t resident_bytes;     /* Of all groups, now. */
  uint64_t resident_peak_bytes;
  uint64_t remote_bytes; /* Bytes that are on a server only, now. */
  uint64_t remote_peak_bytes;
  uint64_t fault_ns_p50; /* From reading the message to resuming. */
  uint64_t fault_ns_p99;
  uint64_t fault_ns_p999;
  uint64_t fault_ns_max;
  uint64_t retries; /* Remote calls repeated. */
  uint64_t checksum_errors;
  uint64_t pages_lost;
  uint64_t faults_overdue; /* That waited on past their deadline. */
  uint64_t fault_spurious; /* The page was there by the time of the fault. */
  uint64_t fault_spurious_oom; /* Lost races told as out of memory: stays 0. */
  /* Swap-ins for which a larger order was tried in vain, by that order, and
   * folios that went out in parts, by their order. */
  uint64_t swpin_fallback[FARSWAP_ORDERS];
  uint64_t swpout_fallback[FARSWAP_ORDERS];
  /* thp_swpin_fallback by its causes, of which it is the sum. */
  uint64_t thp_swpin_fallback_alloc;    /* No folio was left. */
  uint64_t thp_swpin_fallback_charge;   /* No room under the limit. */
  uint64_t thp_swpin_fallback_conflict; /* A part of the block is elsewhere. */
  uint64_t thp_swpin_fallback_zero;     /* A part of the block is zeros. */
  uint64_t thp_swpin_fallback_pmd;      /* It came, but was not mapped huge. */
  uint64_t thp_swpin_fallback_staging;  /* No 2 MiB of staging were free. */
  uint64_t swap_ra;          /* Folios read before a fault asked for them. */
  uint64_t swap_ra_hit;      /* Of them: waited for, or a stream went past. */
  uint64_t pinned_bytes;     /* Of all groups, now. */
  uint64_t prefetch_dropped; /* Pages asked for that there was no room for. */
  uint64_t takeout_busy;     /* Folios that would not go: pinned, protected. */
  /* The stages of a fault, as how many and how long together: from reading its
   * message to serving it; its calls to servers, the check of their checksums,
   * the mapping, each by order; and all of it. */
  uint64_t stage_queue_count;
  uint64_t stage_queue_ns;
  uint64_t stage_rpc_count[FARSWAP_ORDERS];
  uint64_t stage_rpc_ns[FARSWAP_ORDERS];
  uint64_t stage_verify_count[FARSWAP_ORDERS];
  uint64_t stage_verify_ns[FARSWAP_ORDERS];
  uint64_t stage_install_count[FARSWAP_ORDERS];
  uint64_t stage_install_ns[FARSWAP_ORDERS];
  uint64_t stage_total_count;
  uint64_t stage_total_ns;
  uint64_t takeout_unshared; /* Folios that a forked child shared, copied. */
  uint64_t forks;            /* Children that are, or were, served. */
  uint64_t forks_refused;    /* Whose remote pages raise SIGBUS there. */
  uint64_t forked_children;  /* That are served, now. */
  uint64_t forked_pages;     /* Copied into children, from servers. */
} farswap_stats;

/* Fills as much of *stats as stats->size says, which the caller sets. Fields
 * that the library does not know are zero. */
FARSWAP_API int farswap_client_stats(const farswap_client* client,
                                     farswap_stats* stats);

/* The same as a JSON object with one member per field of farswap_stats. To be
 * freed with free(). NULL on failure, of which farswap_last_error() tells. */
FARSWAP_API char* farswap_client_stats_json(const farswap_client* client);

/* Where the client's metrics are, as "HOST:PORT", if it was opened with
 * metrics_listen; else "". Valid while the client is open. */
FARSWAP_API const char* farswap_client_metrics_address(
    const farswap_client* client);

/* The errno's name and meaning; `error` may be negative or positive. Valid
 * until the thread's next call of it. */
FARSWAP_API const char* farswap_strerror(int error);

/* What went wrong in the calling thread's last failing call, in a sentence
 * that says what would be right; "" before there was one. Valid until the
 * thread's next call of the library. */
FARSWAP_API const char* farswap_last_error(void);

#ifdef __cplusplus
}
#endif

#endif /* FARSWAP_H_ */
