// Formatting: first the plan, a superblock that is `creating`; then the rest of the log, written once in full (no
// unwritten extents, no record of an earlier formatting left); then the label areas, zeroes but for the two copies of
// the label, which come last. From the first durable copy of the plan on the log is that of the new mirror alone, and
// says which paths are to be what in it; until its lifecycle moves on there is no mirror (CREATE_UNFINISHED), and
// nothing else in the log counts.
#pragma once

#include <vector>

#include "../base/device.h"
#include "../base/extent.h"
#include "../base/limits.h"
#include "../base/outcome.h"
#include "../base/runtime.h"
#include "../base/task.h"
#include "../format/superblock.h"
#include "../images/membership.h"
#include "options.h"

namespace blockmirror {

// Decides everything about a new mirror from its options and devices. Pure but for the random identities. TOO_SMALL
// (image or log), MISALIGNED (size), OUT_OF_RANGE (ring records, slots for maps, minInSync), BLOCK_TOO_LARGE (blocks larger than a label or a record; position: how large).
Outcome plan_superblock(Runtime& runtime, const FormatOptions& options, const Device& log,
                        std::span<Device* const> images, Superblock& into);

// Zeroes, in whole blocks of the device. WRITE_FAILED.
Task<Outcome> write_zeroes(Device& device, ImageIndex image, Extent extent);

// Writes log and labels of a planned superblock that is durable.
Task<Outcome> write_formatted(Membership& membership, Superblock& superblock);

// Replaces every record of a damaged ring by empty ones of the opening `superblock.open_count`, from `first_sequence`
// on, a multiple of the record count beyond every sequence that any sector of the old ring carried. Only after the debt
// is paid: a crash in the middle leaves a ring that either reads as damaged still, or as one in which nothing is live.
Task<Outcome> rewrite_ring(Device& log, const Superblock& superblock);

}  // namespace blockmirror
