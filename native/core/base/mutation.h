// Deliberate faults of the engine, one line each: the proof that the simulator's oracles bite (docs/TESTING.md).
//
// A place that one of them breaks asks `mutated(Mutation::name)`. That is constant false, and leaves no trace in the code,
// unless BLOCKMIRROR_MUTATIONS is defined, which only the simulator's second build does.
#pragma once

#include <cstdint>

namespace blockmirror {

// X(name, what is broken)
#define BLOCKMIRROR_MUTATIONS_LIST(X)                                                                         \
  X(data_before_intent, "data is written before its intent is durable")                                       \
  X(intent_not_durable, "a record is written without FUA")                                                    \
  X(retire_before_flush, "an intent is retired without a flush")                                              \
  X(retire_on_earlier_flush, "an intent is retired by a flush that was submitted before its write completed") \
  X(retire_under_way, "an intent is retired while a write under it is under way")                             \
  X(retire_after_failed_flush, "the engine goes on after a failed flush")                                     \
  X(retire_while_slave_missed, "a failed write of a slave is ignored")                                        \
  X(acknowledge_before_fracture, "a write is acknowledged before the fracture is durable")                    \
  X(fracture_without_generation, "an opening makes a fracture durable without a new generation")              \
  X(one_superblock_copy, "a fracture goes into one copy of the superblock only")                              \
  X(one_label_copy, "a label is written into one of its copies only")                                         \
  X(history_not_kept, "a new generation does not enter its parent into the history")                          \
  X(torn_copy_last, "the copy that a power loss may have torn is written last")                               \
  X(fracture_without_labels, "a fracture is not written to the labels")                                       \
  X(acknowledge_after_log_failure, "a write is acknowledged although the log failed")                         \
  X(recover_wrong_direction, "recovery copies from the slave to the master")                                  \
  X(repair_from_unproven_slave, "what the master cannot read is taken from a slave that is only assumed")     \
  X(repair_not_read_back, "a rewrite of the master is not read back")                                         \
  X(repair_without_intent, "the master is rewritten while no intent covers the block")                        \
  X(repair_failure_forgiven, "a repair that the master answers with an error lets the mirror go on")          \
  X(failure_counts_late, "an image that failed a write is believed until the others have answered")           \
  X(lying_master_copied, "a recovery that found the master lying goes on copying from it")                    \
  X(lying_master_accepted, "an opening takes a master that was noted to lie")                                 \
  X(repair_beside_writes, "the master is rewritten without the range being held alone")                       \
  X(drop_last_sector, "recovery leaves out the last sector of an extent")                                     \
  X(skip_recovery, "an unclean mirror is opened without recovery: the next write's record retires its debt")  \
  X(read_before_master_flush, "the master is not flushed before it is read")                                  \
  X(resync_write_failure_ignored, "a failed write of a slave in a resync is ignored")                         \
  X(resync_flush_failure_ignored, "a failed flush of a slave in a resync is ignored")                         \
  X(master_flush_failure_ignored, "a failed flush of the master at an opening is ignored")                    \
  X(log_not_flushed_at_opening, "an opening builds upon records that are only in the log's cache")            \
  X(skip_torn_check, "a torn record is taken for a whole one")                                                \
  X(overlook_damage, "a record that cannot be read is overlooked")                                            \
  X(trust_retired_record, "retired records count as live")                                                    \
  X(trust_stale_record, "a record of the last lap counts as the one that its slot owes")                      \
  X(forget_live_record, "the oldest live record is overlooked")                                               \
  X(ahead_before_durable, "what is covered ahead of a stream counts before its record is durable")            \
  X(ahead_over_budget, "a stream is covered ahead without regard to the budget")                              \
  X(ahead_left_by_close, "a close ends while what was covered ahead is on its way to the log")                \
  X(unlock_early, "overlapping writes do not exclude each other")                                             \
  X(verify_without_range, "a verify reads without its range being held")                                      \
  X(abort_after_data, "whether a write was cancelled is looked at when its data is written")                  \
  X(records_share_buffer, "records in flight are written from one buffer")                                    \
  X(merge_before_lock, "the rest of a partial block is read before the range is locked")                      \
  X(carry_nothing, "a slot of the ring is reused without carrying forward what is live in it")                \
  X(tail_past_flight, "the tail passes a record that is still being written")                                 \
  X(sequence_used_again, "an opening begins with the sequence of the last record")                            \
  X(skip_dsync, "a write with dsync is written without it")                                                   \
  X(datasync_master_only, "datasync flushes the master alone")                                                \
  X(labels_not_opened, "the labels do not get the new incarnation")                                           \
  X(accept_older_opening, "an image that missed an opening is accepted")                                      \
  X(accept_older_log, "a log that is behind its images is accepted")                                          \
  X(accept_older_generation, "an image that missed generations is accepted")                                  \
  X(accept_older_log_generation, "a log that missed a generation is accepted")                                \
  X(labels_share_number, "two contents of a label carry the same update number")                              \
  X(used_up_number_accepted, "a copy whose update number no mirror can reach counts as the newer one")        \
  X(label_numbers_forgotten, "an opening numbers labels without having looked at theirs")                     \
  X(verify_difference_forgotten, "what a verify found different is not written to the log")                   \
  X(failed_slave_compared_equal, "a slave that failed meanwhile counts as compared")                          \
  X(differing_slave_serves, "a slave that is known to differ stands in for the master")                       \
  X(allocation_loss_ignored, "a running mirror does not look for what the files of its images lost")          \
  X(create_without_plan, "a create writes images before its plan is in the log")                              \
  X(create_keeps_ring, "a create leaves what the ring held before")                                           \
  X(log_not_flushed_by_create, "a create calls a log ready that is only in its cache")                        \
  X(create_over_data, "a create zeroes bytes before the label area")                                          \
  X(create_without_slave, "a slave that fails while the mirror is made is left out")                          \
  X(assumed_not_flushed, "images that are said to be identical are not flushed before the log relies on it")  \
  X(assumed_called_in_sync, "slaves that are only said to be identical count as in sync")                     \
  X(fracture_beside_writes, "an operator's fracture does not wait for the writes under way")                  \
  X(fracture_beside_return, "an operator's fracture does not wait for a rejoin of the same slave")            \
  X(fracture_without_flush, "an operator's fracture does not flush the slaves that leave")                    \
  X(map_not_flushed, "a tail moves before the maps are flushed")                                              \
  X(debt_starts_at_failed_write, "a fracture owes the failed write alone, not what was not flushed")          \
  X(paid_before_flush, "a debt is paid before the flush that follows the copy")                               \
  X(resync_takes_no_range, "a resync copies without holding the range")                                       \
  X(write_skips_synchronizing, "a write during a resync skips the slave that is resynced")                    \
  X(flush_skips_synchronizing, "a flush skips the slave that is resynced")                                    \
  X(older_copy_believed, "a slave that comes back older than it went is resynced by its debt alone")          \
  X(resync_label_not_told, "a resync begins without telling the label of its slave")                          \
  X(damage_forgets_misses, "after damage to the ring a fractured slave owes what its map says")               \
  X(debt_counts_for_minimum, "a slave with debt counts for minInSync")                                        \
  X(acknowledge_below_minimum, "a write is acknowledged although too few images in sync are left")            \
  X(repair_forgets_finds, "what a verify that repairs found is not owed")                                     \
  X(repair_owed_in_memory, "what a verify that repairs found is owed in memory alone")                        \
  X(late_completion_counts, "what a slave has not answered by its deadline counts as done")                   \
  X(history_before_it_happened, "a change of state is told to the history before it is durable")              \
  X(history_over_newer, "an event is written over the newest one")                                            \
  X(history_not_durable, "an event is written without FUA")                                                   \
  X(source_read_before_lock, "a slave whose content is taken is read before the range is locked")             \
  X(source_owes, "content is taken from a slave that owes it")

enum class Mutation : std::uint8_t {
  none,
#define X(name, words) name,
  BLOCKMIRROR_MUTATIONS_LIST(X)
#undef X
};

#ifdef BLOCKMIRROR_MUTATIONS
inline Mutation active_mutation = Mutation::none;
inline bool mutated(Mutation mutation) { return active_mutation == mutation; }
#else
constexpr bool mutated(Mutation) { return false; }
#endif

}  // namespace blockmirror
