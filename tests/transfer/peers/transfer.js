'use strict';

// Uploads a file, and downloads a bill, with wechatpay-axios-plugin. The settings are in the environment; prints what
// it was answered as one line of JSON.

const { createHash } = require('crypto');
const { readFileSync } = require('fs');
const { createRequire } = require('module');
const { WXPAY_TEST_AXIOS_PLUGIN, BASE_URL, MCHID, SERIAL_NO, MERCHANT_KEY, PUBLIC_KEY_ID, PUBLIC_KEY, FILE, BILL_DATE } = process.env;
const { Wechatpay, Rsa, Multipart } = createRequire(`${WXPAY_TEST_AXIOS_PLUGIN}/`)('wechatpay-axios-plugin');

const { client } = new Wechatpay({
  mchid: MCHID,
  serial: SERIAL_NO,
  privateKey: Rsa.from(readFileSync(MERCHANT_KEY), Rsa.KEY_TYPE_PRIVATE),
  certs: { [PUBLIC_KEY_ID]: Rsa.from(readFileSync(PUBLIC_KEY), Rsa.KEY_TYPE_PUBLIC) },
  // Settings of axios, which the plugin forwards.
  baseURL: `${BASE_URL}/`,
  proxy: false,
  timeout: 30000,
});

async function main() {
  const file = readFileSync(FILE);
  const sha256 = createHash('sha256').update(file).digest('hex');
  const form = new Multipart();
  form.append('meta', JSON.stringify({ filename: 'logo.png', sha256 }), 'meta.json');
  form.append('file', file, 'logo.png');
  const uploaded = await client.request('v3/marketing/favor/media/image-upload', 'post', form.getBuffer(), {
    meta: form.toJSON(), headers: form.getHeaders(),
  });
  const named = await client.request(`v3/bill/tradebill?bill_date=${BILL_DATE}`, 'get');
  // It knows by the path, without a query, that a file is not signed.
  const [target, query] = named.data.download_url.slice(BASE_URL.length + 1).split('?');
  const bill = await client.request(target, 'get', undefined, {
    params: {}, paramsSerializer: { serialize: () => query }, responseType: 'arraybuffer',
  });
  const sha1 = createHash('sha1').update(bill.data).digest('hex');
  process.stdout.write(`${JSON.stringify({
    media_url: uploaded.data.media_url, bytes: bill.data.length, is_right: sha1 === named.data.hash_value,
  })}\n`);
}

main().catch((error) => {
  process.stderr.write(`${error.message}: ${JSON.stringify(error.response?.data)}\n`);
  process.exit(1);
});
