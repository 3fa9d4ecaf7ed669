// Creates drawn from a number: over blank disks, over garbage, over another mirror's log, over a mirror that is made anew.
// Some meet no fault, and are cut off at every event; the others meet one fault, of each request in turn that it may
// strike. Whatever is left must be what a create may leave: no mirror yet, and the next create makes it; the mirror, and
// it opens; or, as long as the plan was not durable, what was there before.
#include <algorithm>

#include "../../core/format/label.h"
#include "creation.h"
#include "explorer.h"
#include "runs.h"

namespace blockmirror::simulator {
namespace {

enum class Before : unsigned { blank, garbage, other_log, same_mirror };
constexpr const char* kBeforeWords[] = {"blank disks", "garbage", "the log of another mirror", "a mirror made before"};

constexpr Fault kNoFault = Fault::power_loss;
// Every third create meets none.
constexpr Fault kFaultsOfCreates[] = {
    Fault::write_error, Fault::flush_error, Fault::device_returns, Fault::read_error,      Fault::device_reset,
    Fault::write_error, Fault::try_again,   Fault::short_transfer, Fault::stops_answering, Fault::unreadable_sector};

struct CreateCase {
  World world;
  Before before = Before::blank;
  CreationPlan plan;
  Fault fault = kNoFault;
};

CreateCase draw_case(std::uint64_t number) {
  Random random(number * 71 + 47);
  CreateCase drawn;
  drawn.world.slaves = 1 + static_cast<unsigned>(random.below(random.one_in(3) ? 3 : 2));
  drawn.world.block_size = random.one_in(3) ? 4096 : 512;
  drawn.world.record_size = random.one_in(3) ? 8192 : 4096;
  drawn.before = static_cast<Before>(random.below(4));
  drawn.plan.assume_identical = random.one_in(3);
  drawn.plan.read_back = random.one_in(2);
  drawn.world.proven = !drawn.plan.assume_identical;
  if (number % 3 != 0) drawn.fault = kFaultsOfCreates[(number - number / 3 - 1) % std::size(kFaultsOfCreates)];
  // What stands where a sector cannot be read is for other worlds: a mirror that was there before may not open.
  if (drawn.fault == Fault::unreadable_sector && drawn.before == Before::same_mirror) drawn.before = Before::garbage;
  return drawn;
}

SectorRef drawn_sector(Random& random) {
  std::array<std::byte, kSimulatedSector> bytes;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
  return SectorRef::of(bytes.data());
}

// What the images hold, some of it only in their caches, but for a mirror, behind whose back nobody writes. Where they are
// said to be identical they are.
void fill_images(const CreateCase& drawn, Random& random, Disks& disks) {
  const std::uint64_t sectors = drawn.world.mirror_size / kSimulatedSector;
  const bool equal = drawn.plan.assume_identical || drawn.before == Before::same_mirror;
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint64_t sector = i * sectors / 4 + random.below(8);
    const SectorRef of_master = drawn_sector(random);
    const bool flushed = i % 2 == 0 || drawn.before == Before::same_mirror;
    for (unsigned disk = 1; disk < disks.size(); ++disk) {
      const bool differs = !equal && disk > 1 && random.one_in(2);
      disks[disk].write(sector, differs ? drawn_sector(random) : of_master, flushed);
    }
  }
  // Behind the mirror there is somebody's too, up to the label area.
  for (unsigned disk = 1; disk < disks.size(); ++disk) {
    disks[disk].write(sectors, drawn_sector(random), true);
    disks[disk].write(label_position(disks[disk].content().size()) / kSimulatedSector - 1, drawn_sector(random), true);
  }
}

// In what a create writes, so that a crash tells who forgot it.
void strew_garbage(const CreateCase& drawn, Random& random, Disks& disks) {
  const std::uint64_t ring = kRingPosition / kSimulatedSector;
  const std::uint64_t record = drawn.world.record_size / kSimulatedSector;
  for (std::uint64_t sector : {std::uint64_t{0}, std::uint64_t{130}, ring, ring + 3 * record + 1, ring + 8 * record,
                               disks[0].content().size() / kSimulatedSector - 1})
    disks[0].write(sector, drawn_sector(random), random.one_in(2));
  for (unsigned disk = 1; disk < disks.size(); ++disk) {
    const std::uint64_t label = label_position(disks[disk].content().size()) / kSimulatedSector;
    for (std::uint64_t sector : {label, label + 100, label + 1024 + 7})
      disks[disk].write(sector, drawn_sector(random), random.one_in(2));
  }
}

Disks disks_before(const CreateCase& drawn, Random& random) {
  Disks disks = blank_disks(drawn.world);
  if (drawn.before == Before::same_mirror) disks = create(drawn.world).disks;
  if (drawn.before == Before::other_log) disks[0] = create(drawn.world).disks[0];
  if (drawn.before == Before::garbage) strew_garbage(drawn, random, disks);
  fill_images(drawn, random, disks);
  return disks;
}

// All creates of one number, and what follows each.
class Creations {
 public:
  Creations(const CreateCase& drawn, std::uint64_t number, HashSet& states, Verdict& verdict)
      : drawn_(drawn), states_(states), verdict_(verdict), random_(number * 73 + 53) {}

  void run();

 private:
  void crash_everywhere(Creation& creation);
  void strike_everywhere();
  void crash(const Creation& creation, LostCaches lost);
  void try_state(const Creation& creation, const CrashPoint& point, const CrashPoint::Choice& choice, LostCaches lost);
  void judge(const Creation& creation, Disks disks);
  void open(const Creation& creation, Disks disks);
  void create_again(Disks disks, bool cut);
  LostCaches drawn_caches();

  static constexpr std::uint64_t kStates = 48;  // of one crash; beyond it that many are drawn
  static constexpr unsigned kAgainOneIn = 12;   // states from which a create is run again
  const CreateCase& drawn_;
  HashSet& states_;
  HashSet explored_;
  Verdict& verdict_;
  Random random_;
  std::uint64_t creates_ = 0;
  Disks before_;
};

void Creations::run() {
  before_ = disks_before(drawn_, random_);
  if (drawn_.fault == Fault::unreadable_sector) {
    before_[1].spoil(random_.below(drawn_.world.mirror_size / kSimulatedSector), false);
    verdict_.count(drawn_.fault);
  }
  if (drawn_.fault == kNoFault || drawn_.fault == Fault::unreadable_sector) {
    Creation creation(drawn_.world, drawn_.plan, before_, 1000, verdict_);
    return crash_everywhere(creation);
  }
  strike_everywhere();
}

void Creations::strike_everywhere() {
  CreationPlan plan = drawn_.plan;
  for (unsigned disk = 0; disk < before_.size(); ++disk) {
    bool strikes = true;
    for (unsigned ordinal = 0; strikes && !verdict_.failed; ++ordinal) {
      plan.faults = {{drawn_.fault, disk, ordinal, true}};
      Creation creation(drawn_.world, plan, before_, 1000, verdict_);
      RandomOrder order(random_.next());
      ++verdict_.counts.creates;
      while (!verdict_.failed && creation.step(order)) {
        if (creation.struck() && random_.one_in(8)) crash(creation, drawn_caches());
      }
      strikes = creation.struck();
      if (strikes) crash(creation, 0);
      if (strikes) crash(creation, all_caches(drawn_.world));
    }
  }
}

LostCaches Creations::drawn_caches() {
  return random_.one_in(3) ? 1u << random_.below(before_.size()) : random_.one_in(2) ? 0 : all_caches(drawn_.world);
}

void Creations::crash_everywhere(Creation& creation) {
  ++verdict_.counts.creates;
  RandomOrder order(random_.next());
  do {
    crash(creation, all_caches(drawn_.world));
    crash(creation, 0);
    crash(creation, 1u << random_.below(before_.size()));
  } while (!verdict_.failed && creation.step(order));
}

void Creations::crash(const Creation& creation, LostCaches lost) {
  if (verdict_.failed) return;
  const CrashPoint point(creation.machine(), lost);
  if (point.states(kStates) <= kStates) {
    CrashPoint::Choice choice = point.nothing();
    do {
      try_state(creation, point, choice, lost);
    } while (!verdict_.failed && point.advance(choice));
    return;
  }
  try_state(creation, point, point.nothing(), lost);
  try_state(creation, point, point.everything(), lost);
  for (std::uint64_t i = 2; i < kStates && !verdict_.failed; ++i)
    try_state(creation, point, point.drawn(random_), lost);
}

void Creations::try_state(const Creation& creation, const CrashPoint& point, const CrashPoint::Choice& choice,
                          LostCaches lost) {
  const std::uint64_t state = point.hash(choice);
  const unsigned flags = (creation.planned() ? 1u : 0u) | (creation.outcome() ? 2u : 0u);
  if (!explored_.insert(mix_hash(state) + flags)) return;
  Counts& counts = verdict_.counts;
  if (states_.insert(state)) {
    ++counts.create_crash_states;
    verdict_.count(lost == 0 ? Fault::process_death : Fault::power_loss);
    if (point.tears(choice)) verdict_.count(Fault::torn_write);
  }
  const std::size_t trace = verdict_.trace.size();
  if (verdict_.tracing)
    verdict_.trace.push_back(point.words(choice, lost == 0 ? "CRASH: the process dies" : "CRASH: caches are lost"));
  judge(creation, point.build(choice));
  verdict_.trace.resize(trace);
}

// What whoever looks at the log finds there.
struct Found {
  Outcome outcome;
  Superblock superblock;
};

Task<void> look(Session& session, std::optional<Outcome>& outcome) { outcome = co_await session.load_superblock(); }

Found look_at(const World& world, const Disks& disks) {
  Machine machine(disks, 0, nullptr, world.shape());
  Session session(machine);
  session.set_log(machine.device(0));
  session.set_images({&machine.device(1), &machine.device(2)});
  std::optional<Outcome> outcome;
  spawn(look(session, outcome));
  for (machine.settle_ready(); !outcome; machine.settle_ready()) machine.complete(0);
  return {*outcome, session.superblock()};
}

void Creations::judge(const Creation& creation, Disks disks) {
  const Found found = look_at(drawn_.world, disks);
  const bool ends_well = creation.outcome() && creation.outcome()->ok();
  const bool again = random_.one_in(kAgainOneIn);
  if (!found.outcome.ok()) {
    const bool none = found.outcome.code == Code::NOT_A_LOG || found.outcome.code == Code::LOG_DAMAGED;
    if (creation.planned() || !none)
      return verdict_.fail("create", "the plan was durable, and nobody can read it: code " +
                                         std::to_string(static_cast<int>(found.outcome.code)));
    if (again) create_again(std::move(disks), true);
    return;
  }
  const bool is_new = found.superblock.log_uuid == creation.superblock().log_uuid;
  if (found.superblock.lifecycle == Lifecycle::creating) {
    if (ends_well) return verdict_.fail("create", "a create succeeded, and the log says that it did not finish");
    if (again) create_again(std::move(disks), true);
    return;
  }
  if (!is_new && creation.planned())
    return verdict_.fail("create", "the plan was durable, and the log is that of the mirror before");
  if (is_new && !creation.called_ready())
    return verdict_.fail("create", "the log opens as a mirror that nobody called ready");
  if (is_new || drawn_.before == Before::same_mirror) open(creation, disks);
  if (again) create_again(std::move(disks), false);
}

// The mirror has to open, with everything that an opening is held to; nothing was written since: it copies nothing.
void Creations::open(const Creation& creation, Disks disks) {
  const World& world = drawn_.world;
  const std::uint64_t sectors = world.mirror_size / kSimulatedSector;
  LifePlan plan;
  plan.actions = {{Action::Kind::write, 0, 8, 77}};
  plan.concurrency = 1;
  OldestFirst oldest_first;
  const Geometry geometry = creation.geometry();
  Model model(creation.called_ready() ? creation.master_before() : disks[1].content(), sectors);
  Life life(world, geometry, std::move(disks), std::move(model), plan, {}, 2000, oldest_first, verdict_);
  while (!verdict_.failed && life.step()) {
  }
}

bool are_identical(const World& world, const Disks& disks) {
  std::vector<std::uint64_t> differing;
  for (std::size_t slave = 2; slave < disks.size(); ++slave)
    disks[1].content().differences(disks[slave].content(), world.mirror_size / kSimulatedSector, differing);
  return differing.empty();
}

// Over whatever a crash has left. Some are cut off again, and made once more.
void Creations::create_again(Disks disks, bool cut) {
  ++verdict_.counts.creates_again;
  OldestFirst oldest_first;
  CreationPlan plan = drawn_.plan;
  plan.assume_identical &= are_identical(drawn_.world, disks);  // nobody says so of what lost its caches
  Creation creation(drawn_.world, plan, std::move(disks), 1001 + ++creates_, verdict_);
  const std::uint64_t cut_after = cut && random_.one_in(3) ? random_.below(60) : ~0ull;
  for (std::uint64_t event = 0; event < cut_after && !verdict_.failed && creation.step(oldest_first); ++event) {
  }
  if (verdict_.failed) return;
  if (!creation.outcome()) {
    const CrashPoint point(creation.machine(), drawn_caches());
    return create_again(point.build(point.drawn(random_)), false);
  }
  if (!creation.master_before().spoilt().empty()) return;  // Creation has judged that
  if (!creation.outcome()->ok())
    return verdict_.fail("create", "a create fails over what another left when it was cut off");
  open(creation, creation.machine().disks());
}

}  // namespace

void run_create(std::uint64_t number, HashSet& states, Verdict& verdict) {
  const CreateCase drawn = draw_case(number);
  if (verdict.tracing)
    verdict.trace.push_back("a create with " + std::to_string(drawn.world.slaves) + " slaves over " +
                            kBeforeWords[static_cast<unsigned>(drawn.before)] +
                            (drawn.plan.assume_identical ? ", which are said to be identical" : ""));
  Creations(drawn, number, states, verdict).run();
}

}  // namespace blockmirror::simulator
