// Package flood measures what a server's good clients notice of a flood: an
// attacker that does as fast as it can what the wire lets it do, and connects
// again when it is thrown out. It holds nothing but tests.
//
// TestFloodSmoke runs each attack for a moment and asserts what is no matter of
// time: the server lives, answers a good client meanwhile and after, and holds
// nothing in the end. BenchmarkFlood measures, with the server, the attacker and
// the good client in processes of their own, and prints a table:
//
//	go test -run='^$' -bench=Flood -benchtime=5x -timeout=30m ./internal/flood -table
//
// Each round of a row has three phases, in which a client calls from 64
// goroutines and then from one:
//
//   - alone: nobody else is there;
//   - attack: the attacker runs;
//   - control: instead of the attacker a process runs that touches nobody and
//     burns as much processor time as the attacker did.
//
// The attacker's connections come from 127.0.0.2 where that is an address, so that
// limits per source do not meet the good client.
//
// The control tells what the attacker takes from everybody on the same machine,
// by computing, from what the attack does to the server. The medians of the
// rounds count. -phase 2s makes the phases ten times as long, for what a flood does when
// it goes on. With -profile DIR the server's processor profile of each row's attack phases
// is written there.
package flood
