package mux_test

import (
	"flag"
	"fmt"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		mux.CheckChunks()
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if n := mux.Grown(); n != 0 && code == 0 {
			fmt.Fprintf(os.Stderr, "windows of closed connections still hold %d bytes of the budget\n", n)
			code = 1
		}
		os.Exit(code)
	}))
}

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t testing.TB) (dialed, accepted net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

// opaque hides the kind of a net.Conn, so that the mux copies what it writes.
type opaque struct{ net.Conn }

// links makes pairs of links, by name.
var links = map[string]func(testing.TB) (net.Conn, net.Conn){
	"tcp": tcpPair,
	"copied": func(t testing.TB) (net.Conn, net.Conn) {
		a, b := tcpPair(t)
		return opaque{a}, opaque{b}
	},
	"pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
}

// overLinks runs f over each kind of link.
func overLinks(t *testing.T, f func(t *testing.T, a, b *mux.Conn)) {
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			a, b := link(t)
			f(t, dialedConn(t, a), acceptedConn(t, b))
		})
	}
}

func dialedConn(t testing.TB, link net.Conn) *mux.Conn {
	return closed(t, mux.New(link, mux.Config{Dialed: true}))
}

func acceptedConn(t testing.TB, link net.Conn) *mux.Conn {
	return closed(t, mux.New(link, mux.Config{}))
}

func closed(t testing.TB, c *mux.Conn) *mux.Conn {
	t.Cleanup(func() { c.CloseWithError(kith.OK, "") })
	return c
}
