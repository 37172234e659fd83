package peer_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	echo = kith.Unary[string, string]("test/Echo")
	who  = kith.Unary[struct{}, string]("test/Who", kith.Idempotent())
	wait = kith.Unary[struct{}, string]("test/Wait")
)

// A lan is a virtual LAN for nodes that have the methods above.
type lan struct {
	*peertest.LAN
	t *testing.T
}

func newLAN(t *testing.T, link memory.Link) *lan {
	return &lan{peertest.New(t, peertest.Config{Link: link}), t}
}

// node makes a node, and joins.
func (l *lan) node(name string, edit func(*peer.Config)) *peertest.Node {
	l.t.Helper()
	var h kith.Handlers
	echo.Handle(&h, func(_ context.Context, s string) (string, error) { return name + ":" + s, nil })
	who.Handle(&h, func(context.Context, struct{}) (string, error) { return name, nil })
	wait.Handle(&h, func(ctx context.Context, _ struct{}) (string, error) { <-ctx.Done(); return "", ctx.Err() })
	cfg := peer.Config{Handlers: &h, Admit: admit.Anyone()}
	if os.Getenv("KITH_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("on", name)
	}
	if edit != nil {
		edit(&cfg)
	}
	return l.Join(name, cfg)
}

// await waits for the first event of a kind about a peer, and returns how long
// it took.
func await(t *testing.T, n *peertest.Node, id kith.ID, kind peer.Kind) time.Duration {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ev := range n.Watch(ctx) {
		if ev.Info.ID == id && ev.Kind == kind {
			return time.Since(begin)
		}
	}
	t.Fatalf("no %v of %s; known: %s", kind, id.Short(), show(n))
	return 0
}

func show(n *peertest.Node) string {
	var b strings.Builder
	for _, i := range n.Peers() {
		fmt.Fprintf(&b, "%s %q up=%t err=%v; ", i.ID.Short(), i.Name, i.Up, i.Err)
	}
	return b.String()
}
