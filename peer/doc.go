// Package peer makes a node: client and server at once, among others of its
// kind, with no server and no address typed.
//
// A [Node] listens, tells the LAN that it is there, hears who else is, connects to
// them and keeps connected. Calls go to one peer by its identity ([Node.Peer]), to any
// that offers the method ([Node.Any]), or to all of them ([kith.Gather]). Peers call
// this node's Handlers over the same connections.
//
// # Who is there
//
// A peer that discovery reports is Found: a hint, nothing more. It is Up
// once a connection to it has proved its identity, and each side has admitted
// the other. It is Down when that connection is lost, with the reason, and the node goes
// on trying. It is Gone when discovery has lost it as well. A node connects
// by itself to the first [Config.Mesh] peers that it finds; to others when they
// are called.
//
// # One connection per pair
//
// Two nodes that find each other at once may both dial, over several
// transports. Each hello says which connections the sender holds to this peer, so
// both sides know which ones both hold, and keep the same one: that dialled by the smaller ID,
// and among those of one dialler its lowest attempt. The others are drained, which loses
// no call. docs/wire.md has the rule, docs/decisions.md why it is so.
//
// # Who is let in
//
// [Config.Admit] judges every connection, dialled or accepted: New fails without
// one. With [admit.NetworkKey] a node talks to those who hold the key, and its
// records say nothing to others.
package peer
