#include "coverage.h"

namespace blockmirror {
namespace {

constexpr std::uint64_t kRegionBytes = std::uint64_t{kIntentBitmapBlocks} * kIntentBlockLength;
constexpr std::size_t kSlabRegions = 256;

std::size_t hash_of(std::uint64_t index) {
  return static_cast<std::size_t>((index * 0x9E3779B97F4A7C15ull) >> 20);  // Fibonacci hashing
}

}  // namespace

unsigned intent_units(const BlockSet& blocks) {
  unsigned runs = blocks.runs();
  return runs <= 3 ? runs : 3;
}

void append_intents(std::uint64_t region_index, const BlockSet& blocks, std::vector<Intent>& into) {
  std::uint64_t start = region_index * kRegionBytes;
  if (blocks.runs() > 3) {
    Intent intent;
    intent.kind = Intent::Kind::bitmap;
    intent.extent = {start, kRegionBytes};
    intent.bitmap = blocks.words;
    into.push_back(intent);
    return;
  }
  for (unsigned block = 0; block < kIntentBitmapBlocks;) {
    if (!blocks.test(block)) {
      ++block;
      continue;
    }
    unsigned end = block;
    while (end < kIntentBitmapBlocks && blocks.test(end)) ++end;
    Intent intent;
    intent.extent = {start + std::uint64_t{block} * kIntentBlockLength,
                     std::uint64_t{end - block} * kIntentBlockLength};
    into.push_back(intent);
    block = end;
  }
}

Coverage::Coverage() : buckets_(1024, nullptr) {}
Coverage::~Coverage() = default;

BlockSet Coverage::blocks_of(Extent extent) {
  Extent whole = extent.widened(kIntentBlockLength);
  std::uint64_t start = whole.position / kRegionBytes * kRegionBytes;
  BLOCKMIRROR_ASSERT(whole.end() <= start + kRegionBytes, "an extent crosses a region");
  return BlockSet::of(static_cast<unsigned>((whole.position - start) / kIntentBlockLength),
                      static_cast<unsigned>(whole.length / kIntentBlockLength));
}

Region* Coverage::find(std::uint64_t index) const {
  Region* region = buckets_[hash_of(index) & (buckets_.size() - 1)];
  while (region != nullptr && region->index != index) region = region->next;
  return region;
}

Region& Coverage::find_or_add(std::uint64_t index) {
  if (Region* found = find(index)) return *found;
  if (count_ >= buckets_.size()) grow();
  if (free_ == nullptr) {
    auto slab = std::make_unique<Region[]>(kSlabRegions);
    for (std::size_t i = 0; i < kSlabRegions; ++i) {
      slab[i].next = free_;
      free_ = &slab[i];
    }
    slabs_.push_back(std::move(slab));
  }
  Region* region = free_;
  free_ = region->next;
  *region = Region{};
  region->index = index;
  Region*& head = buckets_[hash_of(index) & (buckets_.size() - 1)];
  region->next = head;
  head = region;
  ++count_;
  return *region;
}

void Coverage::release_if_idle(Region& region) {
  if (!region.idle()) return;
  BLOCKMIRROR_ASSERT(region.waiters.empty(), "a region was released under its waiters");
  Region** link = &buckets_[hash_of(region.index) & (buckets_.size() - 1)];
  while (*link != &region) link = &(*link)->next;
  *link = region.next;
  region.next = free_;
  free_ = &region;
  --count_;
}

void Coverage::grow() {
  std::vector<Region*> old = std::move(buckets_);
  buckets_.assign(old.size() * 2, nullptr);
  for (Region* region : old) {
    while (region != nullptr) {
      Region* following = region->next;
      Region*& head = buckets_[hash_of(region->index) & (buckets_.size() - 1)];
      region->next = head;
      head = region;
      region = following;
    }
  }
}

void Coverage::restated(Region& region, std::uint64_t sequence) {
  if (region.listed && region.sequence >= sequence) return;  // an older record that became durable late
  if (region.listed) unlist(region);
  region.sequence = sequence;
  region.listed = true;
  // Records become durable nearly in order: the place is at the end or a few steps before it.
  Region* before = newest_;
  while (before != nullptr && before->sequence > sequence) before = before->older;
  region.older = before;
  region.newer = before == nullptr ? oldest_ : before->newer;
  (region.older == nullptr ? oldest_ : region.older->newer) = &region;
  (region.newer == nullptr ? newest_ : region.newer->older) = &region;
}

void Coverage::unlist(Region& region) {
  if (!region.listed) return;
  (region.older == nullptr ? oldest_ : region.older->newer) = region.newer;
  (region.newer == nullptr ? newest_ : region.newer->older) = region.older;
  region.older = region.newer = nullptr;
  region.listed = false;
}

}  // namespace blockmirror
