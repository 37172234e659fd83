// Package peertest is a virtual LAN for tests of applications that use package
// peer: nodes find each other, connect and call, with no socket, and the
// test says what the network does to them.
//
//	func TestApp(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			lan := peertest.New(t, peertest.Config{Seed: 1, Link: memory.Link{Latency: time.Millisecond}})
//			a := lan.Join("a", myapp.Config("a"))
//			b := lan.Join("b", myapp.Config("b"))
//			lan.WaitUp(a, b)
//			lan.Partition(b)
//			lan.WaitDown(a, b)
//			lan.Heal()
//			lan.WaitUp(a, b)
//		})
//	}
//
// [LAN.Join] takes the application's own [peer.Config] and puts the LAN in the place of
// what would be the network: the transport, where to listen, discovery, the key. All else is as in production:
// admission, limits and times.
//
// In a bubble of package testing/synctest all times are virtual: an hour of partition takes milliseconds.
// It works outside as well, in real time.
//
// # What is simulated
//
// Connections run over a [memory.Network]: its links have latency, loss and bandwidth. Discovery is
// a bus on which packets are heard by all that the same links reach, or are lost, late, or heard twice. Nodes
// announce themselves and ask as on multicast DNS: twice at the beginning, then all
// together every 10 to 55 seconds, according to how many they are.
//
// # What a seed decides
//
// The keys, and so which ID is smaller; every delay and loss on each link, and the times at which the bus
// speaks. The pauses that package peer draws itself, and the order in which goroutines run that are
// ready at the same time, are not the seed's: two runs are alike, not the same.
package peertest
