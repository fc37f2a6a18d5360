// A peer made of @ethereumjs/devp2p, for tests/interop/test_ethereumjs_devp2p.py.
//
// Takes one argument, a JSON object saying what to do, and prints one JSON object per line about what happened. It asks
// for headers and bodies as soon as it has a Status, answers questions for headers, and echoes consensus messages.
// Runs until it is killed.

import { Common, Mainnet } from '@ethereumjs/common'
import { DPT, ETH, RLPx } from '@ethereumjs/devp2p'
import { bytesToHex, bytesToInt, hexToBytes, randomBytes } from '@ethereumjs/util'
import * as snappy from 'snappyjs'

const { mode, node, chainId, genesisHash, headHash, headNumber, forkHash, versions } = JSON.parse(process.argv[2])

const say = (event, content = {}) => console.log(JSON.stringify({ event, ...content }))
const number = (bytes) => (bytes.length === 0 ? 0 : bytesToInt(bytes))

/** IBFT 2.0's four messages: said aloud and sent back. */
class Ibf {
  constructor(version, peer, send) {
    this._send = send
  }

  _handleMessage(code, data) {
    say('consensus', { code, data: bytesToHex(data) })
    this._send(code, snappy.compress(data))
  }
}

const common = new Common({
  chain: { ...Mainnet, name: 'test', chainId, hardforks: [{ name: 'chainstart', block: 0, forkHash }] },
  hardfork: 'chainstart',
})
const key = randomBytes(32)
const capabilities = [
  ...versions.map((version) => ETH[`eth${version}`]),
  { name: 'IBF', version: 1, length: 4, constructor: Ibf },
]
// The library writes port 0 with a leading zero, which is no integer in RLP.
const rlpx = new RLPx(key, { common, capabilities, listenPort: 30303, maxPeers: 5 })
rlpx.events.on('error', (error) => say('error', { text: String(error) }))
rlpx.events.on('peer:error', (peer, error) => say('error', { text: String(error) }))
rlpx.events.on('peer:removed', (peer, reason, ours) => say('left', { reason, ours }))
rlpx.events.on('peer:added', (peer) => {
  const hello = peer.getHelloMessage()
  say('hello', { clientId: hello.clientId, port: hello.port, id: bytesToHex(hello.id) })
  converse(peer.getProtocols().find((protocol) => protocol instanceof ETH))
})

function converse(eth) {
  const wrapped = eth.getVersion() >= 66
  const request = (id, body) => (wrapped ? [new Uint8Array([id]), body] : body)
  let head = []
  eth.events.on('status', (status) => {
    say('status', {
      version: eth.getVersion(),
      chainId: number(status.chainId),
      difficulty: number(status.td),
      bestHash: bytesToHex(status.bestHash),
      genesisHash: bytesToHex(status.genesisHash),
    })
    eth.sendMessage(3, request(7, [status.bestHash, 3, 0, 1]))
    eth.sendMessage(5, request(8, [status.bestHash]))
  })
  eth.events.on('message', (code, payload) => {
    const body = wrapped && [3, 4, 5, 6].includes(code) ? payload[1] : payload
    if (code === 3) eth.sendMessage(4, wrapped ? [payload[0], head] : head)
    if (code === 4) {
      head = body.slice(0, 1)
      say('headers', { numbers: body.map((header) => number(header[8])) })
    }
    if (code === 6) say('bodies', { transactions: body.map(([transactions]) => transactions.length) })
    if (code === 7) say('block', { number: number(body[0][0][8]) })
    if (code === 8) say('transaction hashes', { count: (eth.getVersion() >= 68 ? body[2] : body).length })
    if (code === 2) say('transactions', { count: body.length })
  })
  eth.sendStatus({
    td: new Uint8Array([headNumber + 1]),
    bestHash: hexToBytes(headHash),
    genesisHash: hexToBytes(genesisHash),
  })
}

function discover(tcpPort) {
  const endpoint = { address: '127.0.0.1', udpPort: tcpPort, tcpPort }
  const dpt = new DPT(key, { common, endpoint, refreshInterval: 10000 })
  dpt.events.on('error', (error) => say('error', { text: String(error) }))
  dpt.events.on('peer:added', (peer) => say('discovered', { id: bytesToHex(peer.id), port: peer.tcpPort }))
  dpt.bind(tcpPort, '127.0.0.1')
  dpt.bootstrap({ address: node.host, udpPort: node.udp, tcpPort: node.tcp }).catch(() => {})
}

if (mode === 'dial') {
  await rlpx.connect({ id: hexToBytes(node.id), address: node.host, tcpPort: node.tcp })
} else {
  rlpx.events.on('listening', () => {
    const { port } = rlpx._server.address()
    rlpx._listenPort = port
    say('listening', { port, id: bytesToHex(rlpx.id) })
    if (mode === 'discover') discover(port)
  })
  rlpx.listen(0, '127.0.0.1')
}
