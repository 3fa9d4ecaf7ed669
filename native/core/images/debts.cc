#include "debts.h"

#include "../base/assert.h"
#include "../base/mutation.h"
#include "../base/spare_memory.h"

namespace blockmirror {
namespace {

// Its debt was left by a crash and was not recorded yet: the live intents of the ring are its record.
bool is_named_by_ring(const ImageRecord& image) {
  return image.state == ImageState::synchronizing && image.debt == DebtKind::none;
}

// A debt's table of pages, before anything is owed.
std::size_t table_of(const MapShape& shape) { return shape.sectors() * (sizeof(void*) + 1); }

}  // namespace

Debts::Debts(Runtime& runtime, Superblock& superblock) : runtime_(runtime), superblock_(superblock), free_(runtime) {}

bool Debts::begin(Device& log, std::uint64_t tail) {
  const MapShape shape{superblock_.size, superblock_.maps.unit};
  if (!has_memory() || !has_spare_memory(superblock_.images.size() * table_of(shape))) return false;
  log_ = &log;
  tail_ = tail;
  for (const unsigned i : indices_of(superblock_.slaves())) {
    const ImageRecord& image = superblock_.images[i];
    debts_[i].emplace(shape.size, shape.unit);
    if (image.debt == DebtKind::everything) {
      debts_[i]->owe_everything();
      debts_[i]->pay({0, image.resync.cursor});  // a resync that was cut off goes on from there
    }
    if (image.debt == DebtKind::map)
      maps_[i] = std::make_shared<DurableMap>(runtime_, log, buffers_, place_of(i), false);
  }
  return true;
}

DurableMap::Place Debts::place_of(unsigned slave) const {
  const ImageRecord& image = superblock_.images[slave];
  DurableMap::Place place;
  place.identity = {superblock_.log_uuid, image.uuid, slave, image.map_id};
  place.shape = {superblock_.size, superblock_.maps.unit};
  place.position = superblock_.maps.slot(slave);
  place.incarnation = superblock_.incarnation;
  return place;
}

ImageSet Debts::owing() const {
  ImageSet set = 0;
  for (unsigned i = 0; i < superblock_.images.size(); ++i) {
    if (superblock_.images[i].debt != DebtKind::none || is_named_by_ring(superblock_.images[i])) set |= image_bit(i);
  }
  return set;
}

ImageSet Debts::owing_in(ImageSet slaves, Extent extent) const {
  ImageSet set = 0;
  for (const unsigned i : indices_of(slaves & superblock_.slaves())) {
    if (!knows(i) || debts_[i]->owes(extent)) set |= image_bit(i);
  }
  return set;
}

ImageSet Debts::owing_all_of(ImageSet slaves, Extent extent) const {
  ImageSet set = 0;
  for (const unsigned i : indices_of(slaves & superblock_.slaves())) {
    if (knows(i) && debts_[i]->owes_all_of(extent)) set |= image_bit(i);
  }
  return set;
}

void Debts::owe(ImageSet slaves, Extent extent) {
  for (const unsigned i : indices_of(slaves)) debts_[i]->owe(extent);
}

void Debts::owe_everything(ImageSet slaves) {
  for (const unsigned i : indices_of(slaves)) debts_[i]->owe_everything();
}

void Debts::begin_map(unsigned slave) {
  BLOCKMIRROR_ASSERT(superblock_.images[slave].debt == DebtKind::map, "a map was begun for a slave that has none");
  maps_[slave] = std::make_shared<DurableMap>(runtime_, *log_, buffers_, place_of(slave), true);
  debts_[slave]->begin_map();
}

void Debts::end(unsigned slave) {
  BLOCKMIRROR_ASSERT(debts_[slave]->owes_nothing(), "a slave that owes something was let off");
  maps_[slave].reset();
}

bool Debts::any_map() const {
  for (unsigned i = 0; i < superblock_.images.size(); ++i) {
    const ImageRecord& image = superblock_.images[i];
    if (image.debt == DebtKind::map || (is_named_by_ring(image) && !debts_[i]->owes_nothing())) return true;
  }
  return false;
}

// What live intents of the opening before name goes into a map now: the tail is about to pass them. Until the entry says so
// durably, the ring still names all of it.
bool Debts::take_from_ring(unsigned slave) {
  ImageRecord& image = superblock_.images[slave];
  if (!is_named_by_ring(image) || debts_[slave]->owes_nothing()) return false;
  image.debt = debts_[slave]->owes_everything() ? DebtKind::everything : DebtKind::map;
  if (image.debt == DebtKind::everything) return true;
  runtime_.random(image.map_id.bytes);
  begin_map(slave);
  return true;
}

Task<void> Debts::load(unsigned slave) {
  while (busy_) co_await free_.wait();
  busy_ = true;
  const std::shared_ptr<DurableMap> map = maps_[slave];
  // The tail that the ring had when it was scanned: nothing has moved it since, because the log waits for this.
  if (map && !map->loaded()) co_await map->load(tail_ > superblock_.images[slave].fracture.tail, *debts_[slave]);
  busy_ = false;
  free_.wake_all();
}

Task<Outcome> Debts::write_maps(bool& recorded) {
  Outcome outcome;
  for (unsigned i = 0; i < superblock_.images.size() && outcome.ok(); ++i) {
    if (take_from_ring(i)) recorded = true;
    if (superblock_.images[i].debt != DebtKind::map) continue;
    co_await load(i);
    while (busy_) co_await free_.wait();
    ImageRecord& image = superblock_.images[i];
    if (image.debt != DebtKind::map || !maps_[i]) continue;  // it was paid meanwhile
    if (debts_[i]->owes_everything()) {
      image.debt = DebtKind::everything;
      image.map_id = Uuid{};
      maps_[i].reset();
      recorded = true;
      continue;
    }
    busy_ = true;
    const std::shared_ptr<DurableMap> map = maps_[i];
    outcome = co_await map->write(*debts_[i]);
    busy_ = false;
    free_.wake_all();
  }
  co_return outcome;
}

}  // namespace blockmirror
