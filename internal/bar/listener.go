package bar

import "net"

// A Listener is a listening socket that kith made itself, without multipath TCP, which has
// no filters. One that the program made may have a filter of its own.
type Listener struct{ *net.TCPListener }
