'use strict';

// The measured call, made with wechatpay-axios-plugin: one process with one thread.

const { readFileSync } = require('fs');
const https = require('https');
const { Wechatpay, Rsa } = require('wechatpay-axios-plugin');

const {
  BASE_URL, CA_FILE, MCHID, SERIAL_NO, MERCHANT_KEY, PUBLIC_KEY_ID, PUBLIC_KEY, TARGET,
} = process.env;
const [CALLS, CONCURRENCY, WARMUP] = ['CALLS', 'CONCURRENCY', 'WARMUP'].map((name) => Number(process.env[name]));

const { client } = new Wechatpay({
  mchid: MCHID,
  serial: SERIAL_NO,
  privateKey: Rsa.from(readFileSync(MERCHANT_KEY), Rsa.KEY_TYPE_PRIVATE),
  certs: { [PUBLIC_KEY_ID]: Rsa.from(readFileSync(PUBLIC_KEY), Rsa.KEY_TYPE_PUBLIC) },
  // Settings of axios, which the plugin forwards.
  baseURL: `${BASE_URL}/`,
  httpsAgent: new https.Agent({ keepAlive: true, maxFreeSockets: Math.max(256, CONCURRENCY), ca: readFileSync(CA_FILE) }),
  timeout: 30000,
  headers: { 'Wechatpay-Serial': PUBLIC_KEY_ID },
});
const pathname = TARGET.slice(1);

let saidFirst = false;

function sayFirst() {
  saidFirst = true;
  process.stdout.write('first\n');
}

/** Makes the call: no data, so that the signed body is empty too; `null` or `{}` would not be. */
async function call() {
  const { status, data } = await client.request(pathname, 'post');
  if (status !== 204) throw new Error(`${status}: ${data}`);
}

/** Has the callers share the number of calls, each of them without a pause. */
async function make(calls) {
  const run = { latencies: [], failed: 0, firstError: null };
  let taken = 0;
  const caller = async () => {
    while (taken < calls) {
      taken += 1;
      const start = process.hrtime.bigint();
      try {
        await call();
        if (!saidFirst) sayFirst();
      } catch (error) {
        run.failed += 1;
        run.firstError ??= `${error.code ?? error.name}: ${error.message}`;
      }
      run.latencies.push(Number(process.hrtime.bigint() - start) / 1e3);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, caller));
  run.latencies.sort((a, b) => a - b);
  return run;
}

function quantile(sorted, q) {
  return sorted[Math.max(Math.ceil(sorted.length * q) - 1, 0)];
}

async function main() {
  await make(WARMUP);
  const [start, cpuStart] = [process.hrtime.bigint(), process.cpuUsage()];
  const { latencies, failed, firstError } = await make(CALLS);
  const [seconds, cpu] = [Number(process.hrtime.bigint() - start) / 1e9, process.cpuUsage(cpuStart)];
  process.stdout.write(`${JSON.stringify({
    calls: CALLS,
    failed,
    seconds,
    cpu_seconds: (cpu.user + cpu.system) / 1e6,
    p50_us: quantile(latencies, 0.5),
    p99_us: quantile(latencies, 0.99),
    p999_us: quantile(latencies, 0.999),
    peak_rss_kib: process.resourceUsage().maxRSS,
    first_error: firstError,
  })}\n`);
}

main();
