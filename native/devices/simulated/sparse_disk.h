// The bytes of a simulated disk, by sector, copy-on-write: a snapshot costs a microsecond, whatever the size of the disk,
// and equality and hashes cost only what differs.
//
// Invariants: an absent sector or page reads as zeroes, and zeroes are always absent, so that equal contents have equal
// hashes; hash() is kept up to date by every change; sectors are never changed, only replaced. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace blockmirror {

inline constexpr std::size_t kSimulatedSector = 512;  // bytes; the unit in which a write may tear

std::uint64_t mix_hash(std::uint64_t value);

// One sector's content, shared.
class SectorRef {
 public:
  SectorRef() = default;  // zeroes
  static SectorRef of(const std::byte* bytes);
  SectorRef(const SectorRef& other) : sector_(other.sector_) {
    if (sector_ != nullptr) ++sector_->references;
  }
  SectorRef(SectorRef&& other) noexcept : sector_(std::exchange(other.sector_, nullptr)) {}
  SectorRef& operator=(SectorRef other) noexcept {
    std::swap(sector_, other.sector_);
    return *this;
  }
  ~SectorRef() {
    if (sector_ != nullptr && --sector_->references == 0) release(sector_);
  }
  std::uint64_t hash() const { return sector_ == nullptr ? 0 : sector_->hash; }
  const std::byte* bytes() const { return sector_ == nullptr ? kZeroes.data() : sector_->bytes.data(); }
  friend bool operator==(const SectorRef& one, const SectorRef& other);

 private:
  struct Sector {
    std::uint64_t hash = 0;
    Sector* next = nullptr;  // free list
    std::uint32_t references = 0;
    std::array<std::byte, kSimulatedSector> bytes;
  };
  static const std::array<std::byte, kSimulatedSector> kZeroes;
  struct Pool;
  static Pool& pool();
  static void release(Sector* sector);
  Sector* sector_ = nullptr;
};

class SparseDisk {
 public:
  explicit SparseDisk(std::uint64_t size)
      : pages_((size / kSimulatedSector + kPage - 1) / kPage, nullptr), size_(size) {}
  SparseDisk(const SparseDisk& other);
  SparseDisk(SparseDisk&& other) noexcept = default;
  SparseDisk& operator=(SparseDisk other) noexcept;
  ~SparseDisk();

  std::uint64_t size() const { return size_; }
  std::uint64_t hash() const { return hash_; }
  SectorRef get(std::uint64_t sector) const {
    const Page* page = pages_[sector / kPage];
    return page == nullptr ? SectorRef() : page->sectors[sector % kPage];
  }
  void set(std::uint64_t sector, SectorRef content);
  // A sector that cannot be read: until it is set, or for good (then it does not take what is set).
  void spoil(std::uint64_t sector, bool for_good);
  void heal(std::uint64_t sector);
  bool is_readable(std::uint64_t position, std::uint64_t length) const;
  struct Spoilt {
    std::uint64_t sector = 0;
    bool for_good = false;
  };
  const std::vector<Spoilt>& spoilt() const { return spoilt_; }
  void read(std::uint64_t position, std::span<std::byte> into) const;
  // What a sector adds to hash(): the hash is the exclusive or of it over all sectors.
  static std::uint64_t contribution(std::uint64_t sector, const SectorRef& content) {
    return content.hash() == 0 ? 0 : mix_hash(content.hash() + sector * 0x9e3779b97f4a7c15ull);
  }
  // Sectors below `limit` whose content differs.
  void differences(const SparseDisk& other, std::uint64_t limit, std::vector<std::uint64_t>& into) const;

 private:
  static constexpr std::size_t kPage = 64;  // sectors
  struct Page {
    std::uint32_t references = 1;
    std::array<SectorRef, kPage> sectors;
  };
  static void release(Page* page);
  std::vector<Page*> pages_;
  std::uint64_t size_;
  std::uint64_t hash_ = 0;
  std::vector<Spoilt> spoilt_;
};

}  // namespace blockmirror
