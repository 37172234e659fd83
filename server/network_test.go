package server_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
	"github.com/kith-go/kith/transport/netconn"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// identified are the transports whose connections prove identities, one of the
// user's own among them, which listens at path.
func identified(t *testing.T, f func(t *testing.T, with func(*kith.Key) transport.Transport)) {
	network := memory.NewNetwork(memory.NetworkConfig{})
	t.Cleanup(func() { _ = network.Close() })
	for name, with := range map[string]func(*kith.Key) transport.Transport{
		"memory": func(k *kith.Key) transport.Transport { return network.Transport(memory.Config{Key: k}) },
		"tcp":    func(k *kith.Key) transport.Transport { return tcp.New(tcp.Config{Key: k}) },
		"quic":   func(k *kith.Key) transport.Transport { return quic.New(quic.Config{Key: k}) },
		"unix":   overUnix,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "unix" && !unixSockets(t) {
				t.Skip("no unix sockets here")
			}
			f(t, func(k *kith.Key) transport.Transport {
				tr := with(k)
				t.Cleanup(func() { _ = tr.Close() })
				return tr
			})
		})
	}
}

func unixSockets(t *testing.T) bool {
	l, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
	if err == nil {
		_ = l.Close()
	}
	return err == nil
}

// shortDir is short enough for a unix socket, which t.TempDir may not be.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "kith")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func overUnix(k *kith.Key) transport.Transport {
	var d net.Dialer
	var lc net.ListenConfig
	return unixTransport{netconn.New(netconn.Config{
		Scheme: "unix", Key: k,
		Dial: func(ctx context.Context, a transport.Addr) (net.Conn, error) {
			return d.DialContext(ctx, "unix", a.Path)
		},
		Listen: func(ctx context.Context, a transport.Addr) (net.Listener, error) {
			return lc.Listen(ctx, "unix", a.Path)
		},
	})}
}

// unixTransport listens in a folder of its own, whatever it is told.
type unixTransport struct{ transport.Transport }

func (u unixTransport) Listen(ctx context.Context, _ transport.Addr) (transport.Listener, error) {
	dir, err := os.MkdirTemp("", "kith")
	if err != nil {
		return nil, err
	}
	l, err := u.Transport.Listen(ctx, transport.Addr{Path: filepath.Join(dir, "s")})
	return unixListener{l, dir}, err
}

type unixListener struct {
	transport.Listener
	dir string
}

func (l unixListener) Close() error {
	err := l.Listener.Close()
	_ = os.RemoveAll(l.dir)
	return err
}

// dialWith connects a client that has the policy.
func (r *rig) dialWith(t *testing.T, tr transport.Transport, p admit.Policy) (*client.Client, error) {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{Transport: tr, Addrs: []string{r.addr.String()}, Admit: p})
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// Members are served whoever they are. Others are told that they prove no
// key, and the server counts them, and logs what each did wrong.
func TestNetworkKey(t *testing.T) {
	identified(t, func(t *testing.T, with func(*kith.Key) transport.Transport) {
		key, member := admit.NewNetworkKey(), kith.NewKey()
		var h kith.Handlers
		hang.Handle(&h, func(ctx context.Context, _ string) (string, error) { return kith.PeerFrom(ctx).ID.String(), nil })
		r := start(t, with(nil), &h, func(c *server.Config) { c.Admit = admit.NetworkKey(key) })
		c, err := r.dialWith(t, with(member), admit.NetworkKey(key))
		if err != nil {
			t.Fatalf("Dial of a member = %v", err)
		}
		if got, err := hang.Call(t.Context(), c, ""); got != member.ID().String() || err != nil {
			t.Errorf("Call = %v, %v, want %v", got, err, member.ID())
		}
		for _, stranger := range []struct {
			policy admit.Policy
			log    string
		}{
			{nil, "presents none"},
			{admit.Anyone(), "presents none"},
			{admit.NetworkKey(admit.NewNetworkKey(), admit.NewNetworkKey()), "presents 2"},
			{forger("short"), "presents 1"},
			{forger(strings.Repeat("long", 700)), "presents 1"},
		} {
			_, err := r.dialWith(t, with(nil), stranger.policy)
			if !errors.Is(err, admit.ErrNetworkKey) || kith.CodeOf(err) != kith.PermissionDenied || !kith.Remote(err) ||
				!kith.Unprocessed(err) || strings.Contains(err.Error(), "presents") {
				t.Errorf("Dial of who %s = %v, want a remote %v, and no more", stranger.log, err, admit.ErrNetworkKey)
			}
		}
		_ = r.Close() // which joins what logs and counts
		if st := r.Stats(); st.Accepted != 1 || st.Refused != 5 || st.Failed+st.Limited != 0 {
			t.Errorf("Stats() = %+v, want 1 accepted, 5 refused", st)
		}
		lines := r.log.lines("peer refused")
		for text, want := range map[string]int{"wrong_network_key": 5, "presents none": 2, "presents 2": 1, "presents 1": 2} {
			if got := len(strings.Split(strings.Join(lines, ""), text)) - 1; got != want {
				t.Errorf("logged %q %d times in %q, want %d", text, got, lines, want)
			}
		}
		if strings.Contains(r.log.String(), key.Reveal()[20:]) {
			t.Errorf("logged the key: %q", r.log)
		}
	})
}

// forger presents what it is made of as the proof of a network key.
type forger string

func (f forger) Present(context.Context, transport.Info) ([]byte, error) {
	return admit.AppendProof(nil, "network", []byte(f)), nil
}

func (f forger) Admit(context.Context, transport.Info, []byte) (admit.Grant, error) {
	return admit.Grant{}, nil
}

// A client with a key does not take a server for a member that only holds the
// identity it dialled.
func TestServerWithoutTheKey(t *testing.T) {
	identified(t, func(t *testing.T, with func(*kith.Key) transport.Transport) {
		key := admit.NewNetworkKey()
		for name, p := range map[string]admit.Policy{
			"anyone": admit.Anyone(), "a forger": forger(strings.Repeat("x", 32)),
		} {
			r := start(t, with(nil), echoHandlers(), func(c *server.Config) { c.Admit = p })
			_, err := r.dialWith(t, with(nil), admit.NetworkKey(key))
			if !errors.Is(err, admit.ErrNetworkKey) || kith.Remote(err) || !kith.Unprocessed(err) || kith.CodeOf(err) != kith.PermissionDenied {
				t.Errorf("Dial of a server that admits %s = %v, want %v from this side", name, err, admit.ErrNetworkKey)
			}
		}
	})
}

// Where nothing can be proven, a key is refused at both ends, with the reason.
func TestNetworkKeyOverPlaintext(t *testing.T) {
	tr := tcp.New(tcp.Config{Plaintext: true})
	defer tr.Close()
	p := admit.NetworkKey(admit.NewNetworkKey())
	r := start(t, tr, echoHandlers(), func(c *server.Config) { c.Admit = p })
	if _, err := r.dialWith(t, tr, p); kith.CodeOf(err) != kith.Unauthenticated || kith.Remote(err) || !strings.Contains(err.Error(), "plaintext") {
		t.Errorf("Dial over plaintext = %v, want Unauthenticated from this side", err)
	}
	if _, err := r.dialWith(t, tr, nil); kith.CodeOf(err) != kith.Unauthenticated || !kith.Remote(err) || !strings.Contains(err.Error(), "no_identity") {
		t.Errorf("Dial over plaintext without a key = %v, want a remote Unauthenticated", err)
	}
}

// Pins and a key together demand both, whichever is missing.
func TestPinsAndNetworkKey(t *testing.T) {
	identified(t, func(t *testing.T, with func(*kith.Key) transport.Transport) {
		key, friend := admit.NewNetworkKey(), kith.NewKey()
		r := start(t, with(nil), echoHandlers(), func(c *server.Config) {
			c.Admit = admit.All(admit.Pins(friend.ID()), admit.NetworkKey(key))
		})
		if _, err := r.dialWith(t, with(friend), admit.NetworkKey(key)); err != nil {
			t.Errorf("Dial of a friend with the key = %v, want no error", err)
		}
		if _, err := r.dialWith(t, with(friend), nil); !errors.Is(err, admit.ErrNetworkKey) || !kith.Remote(err) {
			t.Errorf("Dial of a friend without the key = %v, want %v", err, admit.ErrNetworkKey)
		}
		if _, err := r.dialWith(t, with(nil), admit.NetworkKey(key)); !errors.Is(err, admit.ErrRefused) || !kith.Remote(err) {
			t.Errorf("Dial of a stranger with the key = %v, want %v", err, admit.ErrRefused)
		}
	})
}

// A key is replaced on two servers and a client, one after another, by the
// steps in the comment of admit.NetworkKey. All the while, the client as it is
// reaches the servers as they are.
func TestRotateNetworkKey(t *testing.T) {
	network := memory.NewNetwork(memory.NetworkConfig{})
	defer network.Close()
	old, next := admit.NewNetworkKey(), admit.NewNetworkKey()
	steps := [][]admit.Secret{{old}, {old, next}, {next, old}, {next}}
	at := [3]int{} // the steps of two servers and the client
	meetAll := func() {
		t.Helper()
		for i := range 2 {
			r := start(t, network.Transport(memory.Config{}), echoHandlers(), func(c *server.Config) {
				c.Admit = admit.NetworkKey(steps[at[i]]...)
			})
			c, err := r.dialWith(t, network.Transport(memory.Config{}), admit.NetworkKey(steps[at[2]]...))
			if err != nil {
				t.Errorf("steps %d: Dial = %v, want no error", at, err)
				continue
			}
			if _, err := echo.Call(t.Context(), c, []byte("x")); err != nil {
				t.Errorf("steps %d: Call = %v, want no error", at, err)
			}
		}
	}
	meetAll()
	for step := 1; step < len(steps); step++ {
		for _, node := range [][3]int{{2, 0, 1}, {0, 2, 1}, {1, 0, 2}}[step-1] { // in any order
			at[node] = step
			meetAll()
		}
	}
	at[2] = 0 // who was left out
	r := start(t, network.Transport(memory.Config{}), echoHandlers(), func(c *server.Config) { c.Admit = admit.NetworkKey(steps[3]...) })
	if _, err := r.dialWith(t, network.Transport(memory.Config{}), admit.NetworkKey(steps[0]...)); !errors.Is(err, admit.ErrNetworkKey) {
		t.Errorf("Dial with the old key alone = %v, want %v", err, admit.ErrNetworkKey)
	}
}
