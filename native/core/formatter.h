// Formatting: the log written once in full (no unwritten extents, no record of an earlier formatting left), then its
// superblock, `creating`, then the labels. Until that superblock is durable the log is not a log; until its lifecycle
// moves on there is no mirror (CREATE_UNFINISHED).
#pragma once

#include <vector>

#include "membership.h"
#include "runtime.h"
#include "session.h"
#include "superblock.h"
#include "task.h"

namespace blockmirror {

// Decides everything about a new mirror from its options and devices. Pure but for the random identities. TOO_SMALL
// (image or log), MISALIGNED (size), BLOCK_TOO_LARGE (blocks larger than a label or a record; position: how large).
Status plan_superblock(Runtime& runtime, const FormatOptions& options, const Device& log,
                       std::span<Device* const> images, Superblock& into);

// Writes log and labels of a planned superblock.
Task<Status> write_formatted(Membership& membership, Superblock& superblock);

// Replaces every record of a damaged ring by empty ones of the opening `superblock.open_count`, from `first_sequence`
// on, a multiple of the record count beyond every sequence that any sector of the old ring carried. Only after the debt
// is paid: a crash in the middle leaves a ring that either reads as damaged still, or as one in which nothing is live.
Task<Status> rewrite_ring(Device& log, const Superblock& superblock);

}  // namespace blockmirror
