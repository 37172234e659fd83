package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

func TestErrorsMatch(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want bool // matches ErrClosed and net.ErrClosed
	}{
		{"ErrClosed", transport.ErrClosed, true},
		{"connection closed here", &transport.ConnError{Code: kith.OK}, true},
		{"connection closed there", &transport.ConnError{Code: kith.Aborted, Reason: "why", Remote: true}, true},
		{"connection lost", &transport.ConnError{Code: kith.Unavailable, Err: io.ErrUnexpectedEOF}, true},
		{"wrapped", fmt.Errorf("open stream: %w", &transport.ConnError{}), true},
		{"stream ended here", &transport.StreamError{Code: kith.Canceled}, true},
		{"stream ended there", &transport.StreamError{Code: kith.Canceled, Remote: true}, false},
		{"wrong peer", &transport.PeerError{Want: id}, false},
		{"no identity", transport.ErrNoIdentity, false},
	} {
		for name, target := range map[string]error{"ErrClosed": transport.ErrClosed, "net.ErrClosed": net.ErrClosed} {
			if got := errors.Is(tt.err, target); got != tt.want {
				t.Errorf("%s: errors.Is(%v, %s) = %t, want %t", tt.name, tt.err, name, got, tt.want)
			}
		}
		if errors.Is(tt.err, io.EOF) || errors.Is(tt.err, context.Canceled) {
			t.Errorf("%s: %v matches io.EOF or context.Canceled", tt.name, tt.err)
		}
	}
	if errors.Is(net.ErrClosed, transport.ErrClosed) {
		t.Error("net.ErrClosed matches ErrClosed: some other socket's error would")
	}
	if lost := (&transport.ConnError{Err: io.ErrUnexpectedEOF}); !errors.Is(lost, io.ErrUnexpectedEOF) {
		t.Errorf("errors.Is(%v, io.ErrUnexpectedEOF) = false, want true", lost)
	}
}

func TestErrorTexts(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{transport.ErrClosed, "closed"},
		{&transport.ConnError{Code: kith.OK}, "connection closed here: OK"},
		{&transport.ConnError{Code: kith.Aborted, Remote: true}, "connection closed by the other side: Aborted"},
		{&transport.ConnError{Code: kith.Aborted, Reason: "a\n\x1b", Remote: true}, `connection closed by the other side: Aborted: "a\n\x1b"`},
		{&transport.ConnError{Code: 1<<32 - 1, Remote: true}, "connection closed by the other side: Code(4294967295)"},
		{&transport.ConnError{Code: kith.Unavailable, Err: io.ErrUnexpectedEOF}, "connection lost: unexpected EOF"},
		{&transport.StreamError{Code: kith.Canceled}, "stream reset here: Canceled"},
		{&transport.StreamError{Code: 1 << 31, Remote: true}, "stream reset by the other side: Code(2147483648)"},
		{&transport.PeerError{Want: id}, "wrong peer: want " + id.String() + ", got one that proved no identity"},
		{&transport.PeerError{Want: id, Got: kith.ID{1}}, "wrong peer: want " + id.String() + ", got " + kith.ID{1}.String()},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
	for _, remedy := range []string{"ID@host", "CA"} {
		if got := transport.ErrNoIdentity.Error(); !strings.Contains(got, remedy) {
			t.Errorf("ErrNoIdentity = %q, want it to name %s", got, remedy)
		}
	}
}

func TestConnErr(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	if e := transport.ConnErr(ctx); e != nil {
		t.Errorf("ConnErr(live) = %v, want nil", e)
	}
	end := &transport.ConnError{Code: kith.Aborted, Remote: true}
	cancel(end)
	if e := transport.ConnErr(ctx); e != end {
		t.Errorf("ConnErr(ended) = %v, want %v", e, end)
	}
	derived, stop := context.WithCancel(ctx)
	defer stop()
	if e := transport.ConnErr(derived); e != end {
		t.Errorf("ConnErr(derived) = %v, want %v", e, end)
	}
	other, cancel := context.WithCancelCause(t.Context())
	cancel(io.EOF)
	if e := transport.ConnErr(other); e != nil {
		t.Errorf("ConnErr(ended by another cause) = %v, want nil", e)
	}
	wrapped, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("link: %w", end))
	if e := transport.ConnErr(wrapped); e != end {
		t.Errorf("ConnErr(wrapped) = %v, want %v", e, end)
	}
}

func TestCheckPeer(t *testing.T) {
	other := kith.NewKey().ID()
	for _, tt := range []struct {
		name      string
		want, got kith.ID
		ok        bool
	}{
		{"nobody asked for", kith.ID{}, other, true},
		{"nobody asked for, nobody proved", kith.ID{}, kith.ID{}, true},
		{"the right one", id, id, true},
		{"another one", id, other, false},
		{"no proof", id, kith.ID{}, false},
	} {
		err := transport.CheckPeer(transport.Addr{ID: tt.want, Host: "h"}, transport.Info{Peer: tt.got})
		if (err == nil) != tt.ok {
			t.Errorf("%s: CheckPeer = %v, want ok %t", tt.name, err, tt.ok)
		}
		var pe *transport.PeerError
		if err != nil && (!errors.As(err, &pe) || pe.Want != tt.want || pe.Got != tt.got) {
			t.Errorf("%s: CheckPeer = %#v, want a PeerError with both", tt.name, err)
		}
	}
}
