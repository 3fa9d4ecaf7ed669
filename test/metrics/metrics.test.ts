/** What a mirror that is open here exposes: true of the mirror, and text that the readers of the format take. */
import { METRICS_CONTENT_TYPES, type Mirror, metricsFormatOf } from '../../lib/index';
import { COUNTERS } from '../../lib/metrics/counters';
import { type ReadFamily, readOpenMetrics, stateOf, valueOf } from '../support/openmetrics';
import {
  noPromtool,
  noReferenceParser,
  promtool,
  promtoolOpenMetrics,
  referenceParser,
} from '../support/prometheus_tools';
import { testUnless } from '../support/skip';
import { MIB, MIRROR_SIZE, describeDeviceKinds, failure, pattern, useMirrors } from '../api/support';

const mirrors = useMirrors();

async function scrape(mirror: Mirror): Promise<Map<string, ReadFamily>> {
  return readOpenMetrics(await mirror.metrics());
}

async function busyMirror(): Promise<Mirror> {
  const { mirror } = await mirrors.make({}, 2);
  for (let index = 0; index < 20; index++) await mirror.write(pattern(4096, index), { position: index * 4096 });
  await mirror.read(Buffer.alloc(4096), { position: 0 });
  await mirror.datasync();
  return mirror;
}

describeDeviceKinds('an open mirror on', (device) => {
  test('exposes what its status says', async () => {
    const { mirror } = await mirrors.make({ device, recoveryBudget: '4MiB' }, 2);
    await mirror.write(pattern(4096, 1), { position: 0 });
    await mirror.discard(MIB, 64 * 1024);
    await mirror.verify();
    const before = mirror.status();
    const families = await scrape(mirror);
    const status = mirror.status();
    expect(stateOf(families, 'blockmirror_phase')).toBe('running');
    expect(valueOf(families, 'blockmirror_stopped')).toBe(0);
    expect(valueOf(families, 'blockmirror_size_bytes')).toBe(MIRROR_SIZE);
    expect(valueOf(families, 'blockmirror_generation')).toBe(status.generation.counter);
    expect(valueOf(families, 'blockmirror_images_in_sync')).toBe(3);
    expect(valueOf(families, 'blockmirror_min_in_sync')).toBe(1);
    for (const { name, role, state } of status.images) {
      expect(stateOf(families, 'blockmirror_image_state', { image: name })).toBe(state);
      expect(valueOf(families, 'blockmirror_image_info', { image: name, role })).toBe(1);
    }
    expect(valueOf(families, 'blockmirror_recovery_budget_bytes')).toBe(4 * MIB);
    // The engine may retire in between.
    expect([before.coverage.bytes, status.coverage.bytes]).toContain(valueOf(families, 'blockmirror_coverage_bytes'));
    expect([before.coverage.regions, status.coverage.regions]).toContain(valueOf(families, 'blockmirror_live_intents'));
    expect(valueOf(families, 'blockmirror_uncertain_bytes')).toBe(0);
    expect(valueOf(families, 'blockmirror_requests_pending')).toBe(0);
    expect(valueOf(families, 'blockmirror_last_verify_timestamp_seconds')).toBe(
      Date.parse(status.lastVerify?.finishedAt ?? '') / 1000,
    );
    expect(valueOf(families, 'blockmirror_last_verify_differing_bytes')).toBe(0);
    expect(valueOf(families, 'blockmirror_image_differing_bytes', { image: 'slave1' })).toBe(0);
    for (const device of ['log', 'master', 'slave1', 'slave2']) {
      expect(valueOf(families, 'blockmirror_device_stalled', { device })).toBe(0);
    }
    const uuids = [...families.values()].flatMap(({ samples }) => samples.map(({ labels }) => labels['mirror']));
    expect(new Set(uuids)).toEqual(new Set([status.uuid]));
  });

  test('counts each request once, by what was asked, and each answer of a device', async () => {
    const { mirror } = await mirrors.make({ device });
    const began = performance.now();
    // Of several regions, each of which is a part of the request.
    for (let index = 0; index < 5; index++) await mirror.write(pattern(3 * MIB, index), { position: 0 });
    await mirror.write(pattern(1000, 9), { position: 100, unaligned: true });
    await mirror.read(Buffer.alloc(2 * MIB), { position: 0 });
    await mirror.discard(0, 4 * MIB);
    await mirror.datasync();
    await mirror.datasync();
    const elapsed = (performance.now() - began) / 1000;
    const families = await scrape(mirror);
    const requests = (part: string, operation: string): number | undefined =>
      valueOf(families, `blockmirror_request_latency_seconds_${part}`, { operation });
    expect(requests('count', 'write')).toBe(6);
    expect(requests('count', 'read')).toBe(1);
    expect(requests('count', 'discard')).toBe(1);
    expect(requests('count', 'flush')).toBe(2);
    let sum = 0;
    for (const operation of ['write', 'read', 'discard', 'flush']) sum += requests('sum', operation) ?? NaN;
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThan(elapsed);
    for (const { name, latency } of mirror.status().images) {
      for (const operation of ['read', 'write', 'flush'] as const) {
        const labels = { device: name, operation };
        const count = valueOf(families, 'blockmirror_device_latency_seconds_count', labels);
        expect(count).toBe(latency?.sinceOpen[operation]?.count ?? 0);
      }
    }
    expect(valueOf(families, 'blockmirror_written_bytes_total')).toBe(mirror.status().counters['bytesWritten']);
  });
});

test('a request that was called off before it began is no latency', async () => {
  const { mirror } = await mirrors.make();
  const aborts = Array.from({ length: 50 }, (_, index) => {
    const controller = new AbortController();
    const write = mirror.write(pattern(4096, index), { position: 0, signal: controller.signal });
    controller.abort();
    return write.then(
      () => 1,
      () => 0,
    );
  });
  const written = (await Promise.all(aborts)).reduce<number>((sum, one) => sum + one, 0);
  const families = await scrape(mirror);
  const counted = valueOf(families, 'blockmirror_request_latency_seconds_count', { operation: 'write' }) ?? NaN;
  // One that was called off while it ran is over, and took its time.
  expect(counted).toBeGreaterThanOrEqual(written);
  expect(counted).toBeLessThanOrEqual(50);
});

test('a slave that is out has its state, its debt and when; its resync counts what it copied', async () => {
  const { mirror } = await mirrors.make({}, 2);
  await mirror.fracture(['slave2']);
  await mirror.write(pattern(256 * 1024, 1), { position: 0 });
  const out = await scrape(mirror);
  expect(stateOf(out, 'blockmirror_image_state', { image: 'slave2' })).toBe('behind');
  expect(stateOf(out, 'blockmirror_image_debt', { image: 'slave2' })).not.toBe('none');
  expect(stateOf(out, 'blockmirror_image_debt', { image: 'slave1' })).toBe('none');
  const debt = valueOf(out, 'blockmirror_image_debt_bytes', { image: 'slave2' }) ?? NaN;
  expect(debt).toBeGreaterThanOrEqual(256 * 1024);
  const at = valueOf(out, 'blockmirror_image_fractured_timestamp_seconds', { image: 'slave2' }) ?? NaN;
  expect(Math.abs(at - Date.now() / 1000)).toBeLessThan(60);
  expect(valueOf(out, 'blockmirror_image_fractured_timestamp_seconds', { image: 'slave1' })).toBeUndefined();
  expect(valueOf(out, 'blockmirror_images_in_sync')).toBe(2);
  expect(valueOf(out, 'blockmirror_fractures_total')).toBe(mirror.status().counters['fractures']);
  const report = await mirror.resync();
  const back = await scrape(mirror);
  expect(report.bytesCopied).toBeGreaterThan(0);
  expect(valueOf(back, 'blockmirror_resync_copied_bytes_total')).toBe(report.bytesCopied);
  expect(valueOf(back, 'blockmirror_resync_active')).toBe(0);
  expect(valueOf(back, 'blockmirror_image_debt_bytes', { image: 'slave2' })).toBe(0);
});

test('what was never compared differs by no number of bytes', async () => {
  const { mirror } = await mirrors.make();
  const families = await scrape(mirror);
  expect(families.has('blockmirror_image_differing_bytes')).toBe(false);
  expect(families.has('blockmirror_last_verify_timestamp_seconds')).toBe(false);
});

test('a mirror that was closed here says so, and keeps what it had counted', async () => {
  const mirror = await busyMirror();
  await mirror.close();
  const families = await scrape(mirror);
  expect(stateOf(families, 'blockmirror_phase')).toBe('closed');
  expect(valueOf(families, 'blockmirror_writes_total')).toBe(20);
});

test('every counter of the engine is a metric', async () => {
  const { mirror } = await mirrors.make();
  expect(Object.keys(COUNTERS)).toEqual(Object.keys(mirror.status().counters));
});

test('metrics() has no option that it does not know', async () => {
  const { mirror } = await mirrors.make();
  await failure(mirror.metrics({ format: 'json' as never }), 'INVALID_OPTION');
  expect((await failure(mirror.metrics({ accept: 'text/plain' } as never), 'INVALID_OPTION')).message).toContain(
    "has no 'accept'",
  );
});

test('a scraper gets OpenMetrics when it asks for it', () => {
  const prometheus = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
  expect(metricsFormatOf(prometheus)).toBe('openmetrics');
  expect(metricsFormatOf('text/plain; version=0.0.4')).toBe('prometheus');
  expect(metricsFormatOf('application/openmetrics-text-of-another-kind')).toBe('prometheus');
  expect(metricsFormatOf('text/plain, application/openmetrics-text; q=0')).toBe('prometheus');
  expect(metricsFormatOf(undefined)).toBe('prometheus');
  expect(METRICS_CONTENT_TYPES[metricsFormatOf(prometheus)]).toContain('application/openmetrics-text');
});

test('both formats have the same samples', async () => {
  const mirror = await busyMirror();
  const [openmetrics, prometheus] = [await mirror.metrics(), await mirror.metrics({ format: 'prometheus' })];
  const series = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.replace(/ \S+$/, ''));
  expect(series(prometheus)).toEqual(series(openmetrics));
  expect(series(prometheus).length).toBeGreaterThan(400);
  expect(prometheus).not.toMatch(/^# TYPE \S+ (stateset|info)$/m);
});

test('OpenMetrics says the unit of what has one, as the name does', async () => {
  const families = readOpenMetrics(await (await busyMirror()).metrics());
  expect(families.get('blockmirror_request_latency_seconds')?.unit).toBe('seconds');
  expect(families.get('blockmirror_read_bytes')?.unit).toBe('bytes');
  expect(families.get('blockmirror_resync_bytes_per_second')?.unit).toBe('bytes_per_second');
  expect(families.get('blockmirror_writes')?.unit).toBe('');
});

testUnless(noPromtool, 'promtool finds nothing to complain of, in either format', async () => {
  const mirror = await busyMirror();
  expect(promtool(['check', 'metrics'], await mirror.metrics({ format: 'prometheus' }))).toBe('');
  expect(promtoolOpenMetrics(await mirror.metrics())).toBe('');
  expect(promtoolOpenMetrics('blockmirror_x 1\nno sample\n# EOF\n')).toContain('promtool ended with');
});

testUnless(noReferenceParser, "OpenMetrics' own parser reads it", async () => {
  const mirror = await busyMirror();
  expect(referenceParser(await mirror.metrics())).toBe('');
  expect(referenceParser('# TYPE a counter\na 1\n# EOF\n')).not.toBe('');
});
