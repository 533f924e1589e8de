import t from 'tap';
import { describeDevice } from '../../src/lib/device.js';

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)';
const WINDOWS = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)';
const MAC = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)';
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)';
const IPAD = 'Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)';
const ANDROID = 'Mozilla/5.0 (Linux; Android 14; SM-S918B)';
const LINUX = 'Mozilla/5.0 (X11; Linux x86_64)';

const TABLE: [userAgent: string | undefined, label: string][] = [
  [`${WINDOWS} ${WEBKIT} Chrome/126.0.0.0 Safari/537.36`, 'Chrome on Windows'],
  [`${WINDOWS} ${WEBKIT} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0`, 'Edge on Windows'],
  [`${MAC} ${WEBKIT} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0`, 'Edge on macOS'],
  [`${MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15`, 'Safari on macOS'],
  [`${MAC} ${WEBKIT} Chrome/126.0.0.0 Safari/537.36 OPR/112.0.0.0`, 'Opera on macOS'],
  [`${IPHONE} Version/17.5 Mobile/15E148 Safari/604.1`, 'Safari on iPhone'],
  [`${IPHONE} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1`, 'Chrome on iPhone'],
  [`${IPHONE} FxiOS/127.0 Mobile/15E148 Safari/605.1.15`, 'Firefox on iPhone'],
  [`${IPHONE} EdgiOS/126.0.2592.56 Version/17.0 Mobile/15E148 Safari/604.1`, 'Edge on iPhone'],
  [`${IPHONE} Mobile/15E148`, 'iPhone'],
  [`${IPAD} Version/17.5 Mobile/15E148 Safari/604.1`, 'Safari on iPad'],
  ['Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0', 'Firefox on Android'],
  [`${ANDROID} ${WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36`, 'Chrome on Android'],
  [
    `${ANDROID} ${WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36`,
    'Samsung Internet on Android',
  ],
  [`${LINUX} ${WEBKIT} Chrome/126.0.0.0 Safari/537.36`, 'Chrome on Linux'],
  ['Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0', 'Firefox on Linux'],
  [`Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${WEBKIT} Chrome/126.0.0.0 Safari/537.36`, 'Chrome on ChromeOS'],
  ['Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko', 'Internet Explorer on Windows'],
  ['curl/8.7.1', 'curl'],
  ['python-requests/2.32.3', 'Python requests'],
  ['okhttp/4.12.0', 'okhttp (Android)'],
  ['Dart/3.4 (dart:io)', 'Dart app'],
  ['Dalvik/2.1.0 (Linux; U; Android 14; SM-S918B Build/UP1A)', 'Android app'],
  ['Shop/12 CFNetwork/1498.700.2 Darwin/23.6.0', 'Apple app'],
  ['PostmanRuntime/7.39.0', 'Postman'],
  ['node', 'Node.js'],
  [undefined, 'Unknown device'],
  ['', 'Unknown device'],
  ['Mozilla/5.0', 'Unknown device'],
  ['my own client 1.0', 'Unknown device'],
  ['<script>alert(1)</script>', 'Unknown device'],
  ['\u0000\ud800\r\n', 'Unknown device'],
];

t.test('a device is named by its browser and its system', async (t) => {
  for (const [userAgent, label] of TABLE) t.equal(describeDevice(userAgent), label, label);
});

t.test('a label fits its column and echoes nothing', async (t) => {
  for (const [userAgent] of TABLE) {
    const label = describeDevice(`${userAgent} "><img src=x onerror=alert(1)> token-1234`);
    t.match(label, /^[A-Za-z. ()]{2,40}$/, label);
  }
});

t.test('only the beginning of a hostile header is read', async (t) => {
  t.equal(describeDevice(`${' '.repeat(505)}Chrome/`), 'Chrome', 'ends at the limit');
  t.equal(describeDevice(`${' '.repeat(506)}Chrome/`), 'Unknown device', 'ends past the limit');
  t.equal(describeDevice('('.repeat(5_000_000)), 'Unknown device');
});
