// Session: a mirror's life, from opening the log to sealing it, as explicit phases.
//
// The orchestration (which step when, what to tell the operator) belongs to the caller: lib/ in production, the
// simulator in tests. The session makes a wrong order impossible: each step names the phases it may be called in
// and answers WRONG_PHASE otherwise, and end_recovery refuses while any slave owes what it is about.
//
//   idle --load_superblock--> loaded --activate--> running               (clean, or what is owed is paid in the background)
//                                     --activate--> recovering --resync, end_recovery--> running
//   idle --plan_format--> planned --format--> formatting --resync, end_recovery--> running
//   any  --close--> closed;   running --master or log failed--> stopped
//
// Invariants: I3 (recovery), I8 (attach, incarnation), I10 (status is derived), I12.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../base/call_off.h"
#include "../base/device.h"
#include "../base/extent.h"
#include "../base/latency.h"
#include "../base/limits.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"
#include "../format/history.h"
#include "../format/superblock.h"
#include "../images/image_states.h"
#include "../images/results.h"
#include "../log/assessment.h"
#include "../mirror/resync.h"
#include "options.h"
#include "snapshot.h"

namespace blockmirror {

class Session {
 public:
  // `latencies`: where each device's is counted; stays as long as the session.
  explicit Session(Runtime& runtime, DeviceLatencies* latencies = nullptr);
  ~Session();  // asserts that nothing is in flight
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Phase phase() const;
  // Devices stay the caller's and must outlive the session's last request, and until they owe no answer (owed()). An
  // image that is null, or not present, is not attached; `unopened`, one per image or none, says with what it could not be
  // opened.
  void set_log(Device& log);
  void set_images(std::vector<Device*> images, std::vector<Outcome> unopened = {});
  // I15: how long a request to a device may take before the slave is fractured, or the log or master said to be stalled.
  // 0: for ever. Empty, as at the start: as the log's policy has it; 30 s before that is known.
  void set_device_timeout(std::optional<std::uint64_t> timeout_ns);
  // How many requests that image's device has not answered; whoever lets a device go has to keep it as long as any.
  std::uint32_t owed(unsigned image) const;
  bool is_stalled(unsigned image) const;

  // What happens is told to the log's history (log/history_writer.h); else it is not. At the start.
  void keep_history();

  Task<Outcome> load_superblock();
  // Decides everything about a new mirror, and writes that plan, `creating`, durably to the log; nothing else yet.
  Task<Outcome> plan_format(FormatOptions options);
  // Writes the rest of the log and the labels, and flushes the master, which is about to be copied (I4). A mirror is made with
  // all its slaves: from here to end_recovery the first that fails ends it, SLAVE_FAILED.
  Task<Outcome> format();
  // The first part of assess, about `bytes` of the ring at a time, for whoever wants to tell how far it is or to leave in
  // between. May be left out: assess does what is left of it. NO_MEMORY.
  Task<Outcome> scan_ring(std::uint64_t bytes, ScanProgress& into);
  Task<Outcome> assess(Assessment& into);
  // Running, or after assess for a look: reads the maps that nobody has read, so that the snapshot says what each slave owes.
  // NO_MEMORY.
  Task<Outcome> read_debts();
  // WRONG_PHASE, OUT_OF_RANGE (less than minInSync, or more than there are images; position: what the log says), and what
  // assess told of an image that is not left out.
  Task<Outcome> activate(ActivateOptions options);
  // Loaded, without anything being opened; recovering or running, beside requests: changes the mirror's policies, durably when
  // this answers. What is changed of a running mirror holds for it from then on, in place of what its opening asked for:
  // the deadline of devices at once; a higher minInSync at once, a lower one when it is durable; the recovery budget, of a
  // running or recovering mirror alone, at once, and this answers when what is live fits into it.
  // OUT_OF_RANGE (position: how many images there are): nothing was changed.
  Task<Outcome> set_policies(PolicyChange change);
  const Superblock& superblock() const;  // loaded or later

  // Recovering or formatting, and then the mirror runs; or running, behind a recovery in the background. Every slave has paid
  // what the crash left, or the plan, or is out: the log lets it go and remembers how it went. WRONG_PHASE: one has not.
  Task<Outcome> end_recovery(RecoverySummary summary);

  // Running or recovering; to repair, running. A slave that is to be repaired is synchronizing when this answers, owes what was
  // found, durably, and is paid by resync(): until then it does not count for minInSync.
  Task<Outcome> compare(std::vector<Extent> extents, CompareOrder order, CompareResult& into);
  // Running or recovering: remembers durably what differed. A slave that was found equal all over is no longer assumed,
  // and what was remembered of it is forgotten.
  Task<Outcome> record_verify(VerifyResult found);
  // Running: the operator takes these slaves out at one point in time. Those that received nothing before stay out, and
  // `into.common` is false then. TOO_FEW_IN_SYNC: fewer than minInSync would be left, and none was taken out.
  Task<Outcome> fracture(ImageSet slaves, FractureResult& into);
  // Running: the slave, whose device is attached, receives writes again and is resynced by resync(). Its label is looked at
  // anew: NO_LABEL, LABEL_DAMAGED, FOREIGN_IMAGE, SWAPPED_IMAGES, TRUNCATED_IMAGE, BLOCK_TOO_LARGE refuse it. STALLED: it owes an
  // answer from before, and nothing was asked of it (I15). One that is not as
  // it went owes everything, as does any with `full`.
  Task<Outcome> rejoin(unsigned slave, bool full);
  // Recovering, formatting or running: one step (mirror/resync.h) of all slaves of the order that owe and receive writes.
  Task<Outcome> resync(ResyncOrder order, ResyncResult& into);
  // Running: a durable write of what that slave holds in the extent, which lies inside one region: the master's content there is
  // replaced, and that of all other images. UNUSABLE_SOURCE: it receives no writes, or owes any of it; READ_FAILED of it: nothing
  // was written.
  Task<Outcome> write_from(unsigned slave, Extent extent, SourceResult& into);
  Task<Outcome> retire_all();
  // Waits for every request accepted before it, seals when running, and ends the background work.
  Task<Outcome> close();

  // The write path. extent lies inside one region (no multiple of kRegionLength strictly inside), aligned to
  // superblock().block_size; bytes are frozen and stay until the task is done (I7), aligned as the devices need.
  // `call_off`, where there is one, is asked once before the first image is written: ABORTED where it was called off.
  Task<Outcome> write(Extent extent, std::span<const std::byte> bytes, bool durable, CallOff* call_off);
  // The same for whole blocks around a write that begins or ends inside of them. `bytes` is as long as the extent; what
  // stands in it outside of the bytes named is replaced.
  Task<Outcome> write_partial(Extent extent, std::span<std::byte> bytes, PartialBlocks partial, bool durable,
                              CallOff* call_off);
  Task<Outcome> discard(Extent extent);
  Task<Outcome> read(Extent extent, std::span<std::byte> into);
  Task<Outcome> flush();  // datasync

  // Loaded or later: what the log's history holds. Beside a mirror that runs here: with all that was told until now, as far
  // as the log answers in time. READ_FAILED, NO_MEMORY.
  Task<Outcome> read_history(HistoryScan& into);
  // Loaded with its debts read, or running: which slaves owe something of the extent.
  ImageSet owing_in(Extent extent) const;

  Snapshot snapshot() const;
  const TransitionCounts& transitions() const;  // of images, since the session began
  std::uint32_t memory_alignment() const;       // largest of the attached devices

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace blockmirror
