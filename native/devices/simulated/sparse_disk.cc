#include "sparse_disk.h"

#include <algorithm>
#include <cstring>

#include "../../core/base/assert.h"

namespace blockmirror {

std::uint64_t mix_hash(std::uint64_t value) {
  value ^= value >> 30;
  value *= 0xbf58476d1ce4e5b9ull;
  value ^= value >> 27;
  value *= 0x94d049bb133111ebull;
  return value ^ (value >> 31);
}

namespace {

std::uint64_t hash_of(const std::byte* bytes) {
  std::uint64_t one = 0x243f6a8885a308d3ull, other = 0x13198a2e03707344ull;
  for (std::size_t at = 0; at < kSimulatedSector; at += 16) {
    std::uint64_t a, b;
    std::memcpy(&a, bytes + at, 8);
    std::memcpy(&b, bytes + at + 8, 8);
    one = (one ^ a) * 0x9fb21c651e98df25ull;
    other = (other ^ b) * 0xd6e8feb86659fd93ull;
    one ^= one >> 32;
    other ^= other >> 29;
  }
  const std::uint64_t hash = mix_hash(one) ^ mix_hash(other + 1);
  return hash == 0 ? 1 : hash;
}

bool is_zero(const std::byte* bytes) {
  return bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, kSimulatedSector - 1) == 0;
}

}  // namespace

const std::array<std::byte, kSimulatedSector> SectorRef::kZeroes{};

struct SectorRef::Pool {
  Sector* free = nullptr;
  std::vector<Sector*> slabs;
  ~Pool() {
    for (Sector* slab : slabs) delete[] slab;
  }
  Sector* take() {
    constexpr std::size_t kSlab = 256;
    if (free == nullptr) {
      Sector* slab = new Sector[kSlab];
      slabs.push_back(slab);
      for (std::size_t i = 0; i < kSlab; ++i) slab[i].next = std::exchange(free, &slab[i]);
    }
    Sector* sector = free;
    free = sector->next;
    return sector;
  }
};

SectorRef::Pool& SectorRef::pool() {
  static Pool& pool = *new Pool;  // outlives every static that holds a sector
  return pool;
}

SectorRef SectorRef::of(const std::byte* bytes) {
  SectorRef reference;
  if (is_zero(bytes)) return reference;
  Sector* sector = pool().take();
  sector->references = 1;
  std::memcpy(sector->bytes.data(), bytes, kSimulatedSector);
  sector->hash = hash_of(bytes);
  reference.sector_ = sector;
  return reference;
}

void SectorRef::release(Sector* sector) { sector->next = std::exchange(pool().free, sector); }

bool operator==(const SectorRef& one, const SectorRef& other) {
  if (one.sector_ == other.sector_) return true;
  if (one.hash() != other.hash()) return false;
  return std::memcmp(one.bytes(), other.bytes(), kSimulatedSector) == 0;
}

SparseDisk::SparseDisk(const SparseDisk& other)
    : pages_(other.pages_), size_(other.size_), hash_(other.hash_), spoilt_(other.spoilt_) {
  for (Page* page : pages_) {
    if (page != nullptr) ++page->references;
  }
}

SparseDisk& SparseDisk::operator=(SparseDisk other) noexcept {
  std::swap(pages_, other.pages_);
  std::swap(size_, other.size_);
  std::swap(hash_, other.hash_);
  std::swap(spoilt_, other.spoilt_);
  return *this;
}

SparseDisk::~SparseDisk() {
  for (Page* page : pages_) {
    if (page != nullptr) release(page);
  }
}

void SparseDisk::release(Page* page) {
  if (--page->references == 0) delete page;
}

namespace {

std::uint64_t contribution_of(const SparseDisk::Spoilt& spoilt) {
  return mix_hash(spoilt.sector * 2 + (spoilt.for_good ? 1 : 0) + 0x3c6ef372fe94f82bull);
}

}  // namespace

void SparseDisk::spoil(std::uint64_t sector, bool for_good) {
  spoilt_.push_back({sector, for_good});
  hash_ ^= contribution_of(spoilt_.back());
}

void SparseDisk::heal(std::uint64_t sector) {
  std::erase_if(spoilt_, [&](const Spoilt& spoilt) {
    if (spoilt.sector == sector) hash_ ^= contribution_of(spoilt);
    return spoilt.sector == sector;
  });
}

bool SparseDisk::is_readable(std::uint64_t position, std::uint64_t length) const {
  return std::none_of(spoilt_.begin(), spoilt_.end(), [&](const Spoilt& spoilt) {
    const std::uint64_t at = spoilt.sector * kSimulatedSector;
    return at >= position && at < position + length;
  });
}

void SparseDisk::set(std::uint64_t sector, SectorRef content) {
  BLOCKMIRROR_ASSERT(sector < size_ / kSimulatedSector, "a sector past the simulated disk");
  const bool kept = std::any_of(spoilt_.begin(), spoilt_.end(),
                                [&](const Spoilt& spoilt) { return spoilt.sector == sector && spoilt.for_good; });
  if (kept) return;
  heal(sector);
  Page*& page = pages_[sector / kPage];
  if (page == nullptr) {
    if (content.hash() == 0) return;
    page = new Page;
  } else if (page->references > 1) {
    Page* own = new Page;
    own->sectors = page->sectors;
    --page->references;
    page = own;
  }
  SectorRef& at = page->sectors[sector % kPage];
  hash_ ^= contribution(sector, at) ^ contribution(sector, content);
  at = std::move(content);
}

void SparseDisk::read(std::uint64_t position, std::span<std::byte> into) const {
  for (std::size_t at = 0; at < into.size(); at += kSimulatedSector) {
    const std::uint64_t sector = (position + at) / kSimulatedSector;
    const Page* page = pages_[sector / kPage];
    const std::size_t length = std::min(kSimulatedSector, into.size() - at);
    if (page == nullptr) {
      std::memset(into.data() + at, 0, length);
    } else {
      std::memcpy(into.data() + at, page->sectors[sector % kPage].bytes(), length);
    }
  }
}

void SparseDisk::differences(const SparseDisk& other, std::uint64_t limit, std::vector<std::uint64_t>& into) const {
  for (std::uint64_t first = 0; first < limit; first += kPage) {
    const Page* page = pages_[first / kPage];
    const Page* theirs = other.pages_[first / kPage];
    if (page == theirs) continue;
    for (std::uint64_t sector = first; sector < std::min(limit, first + kPage); ++sector) {
      if (!(get(sector) == other.get(sector))) into.push_back(sector);
    }
  }
}

}  // namespace blockmirror
