// Opens a mirror whose last user may have crashed, recovers it in view, and says what that took.
//
//   node examples/recovery.mjs demo.log
import { Mirror } from 'blockmirror';

// 'manual': the open does not wait for recovery. With 'auto', the default, all of this happens inside open().
const mirror = await Mirror.open(process.argv[2], { recovery: 'manual' });
try {
  const report = await mirror.recover({
    onProgress: ({ step, bytesDone, bytesTotal }) => {
      if (bytesTotal > 0 && bytesDone === bytesTotal) console.log(`${step}: ${bytesTotal} bytes`);
    },
  });
  if (report.clean) console.log('closed cleanly last time: nothing to do');
  else console.log(`${report.liveIntents} live intents, ${report.bytesCopied} bytes copied in ${report.durationMs} ms`);
} finally {
  await mirror.close();
}
