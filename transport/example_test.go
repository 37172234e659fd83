package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

func ExampleParseAddr() {
	for _, s := range []string{
		"quic://rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oo3fqb@example.com:4433",
		"[fe80::1%eth0]:4433",
		"unix:///run/app.sock",
		"::1",
	} {
		a, err := transport.ParseAddr(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("scheme %q, host %q, path %q, pinned %t\n", a.Scheme, a.Host, a.Path, !a.ID.IsZero())
	}
	// Output:
	// scheme "quic", host "example.com:4433", path "", pinned true
	// scheme "", host "[fe80::1%eth0]:4433", path "", pinned false
	// scheme "unix", host "", path "/run/app.sock", pinned false
	// parse address "::1": IPv6 address without brackets
}

func ExampleAddr_WithID() {
	id, _ := kith.ParseID("rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oo3fqb")
	a, _ := transport.ParseAddr("quic://10.0.0.7:4433")
	fmt.Println(a.WithID(id)) // whoever answers there must be id
	// Output: quic://rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oo3fqb@10.0.0.7:4433
}

func ExampleAddr_SplitHostPort() {
	a, _ := transport.ParseAddr("quic://[fe80::1%eth0]:4433")
	host, port := a.SplitHostPort()
	fmt.Println(host, port)
	// Output: fe80::1%eth0 4433
}

// A Router serves several transports as one.
func ExampleRouter() {
	r := transport.Router{"quic": &dummy{}, "tcp": &dummy{}}
	defer r.Close()
	_, err := r.Dial(context.Background(), transport.Addr{Scheme: "sctp", Host: "host:1"})
	fmt.Println(err)
	// Output: no transport for scheme "sctp", have quic, tcp
}

func ExampleCheckPeer() {
	want, _ := transport.ParseAddr("memory://rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oo3fqb@kitchen")
	err := transport.CheckPeer(want, transport.Info{}) // the Info of the Conn
	var wrong *transport.PeerError
	fmt.Println(errors.As(err, &wrong), wrong.Got.IsZero())
	// Output: true true
}

func ExampleConnErr() {
	// The ctx of a Conn that the other side closed.
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(&transport.ConnError{Code: kith.Unavailable, Reason: "restart", Remote: true})

	e := transport.ConnErr(ctx)
	fmt.Println(e)
	fmt.Println(e.Remote, e.Code, errors.Is(e, transport.ErrClosed), errors.Is(e, net.ErrClosed))
	// Output:
	// connection closed by the other side: Unavailable: "restart"
	// true Unavailable true true
}
