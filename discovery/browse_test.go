package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// An event is what a test expects of one: kind, number of the key, sequence.
type event struct {
	kind     discovery.Kind
	id       kith.ID
	sequence uint64
}

func ev(kind discovery.Kind, key byte, sequence uint64) event {
	return event{kind, keyOf(key).ID(), sequence}
}

func (e event) String() string { return fmt.Sprintf("%v %s #%d", e.kind, e.id.Short(), e.sequence) }

// expectEvents reads so many events.
func expectEvents(t testing.TB, b discovery.Browser, want ...event) {
	t.Helper()
	for _, w := range want {
		got, err := b.Next(context.Background())
		if g := (event{got.Kind, got.Record.ID, got.Record.Sequence}); err != nil || g != w {
			t.Fatalf("Next() = %v, %v, want %v", g, err, w)
		}
		if got.Record.IsGoodbye() {
			t.Errorf("Next() = %v with a goodbye's record", w)
		}
	}
}

// expectNothing checks that there is nothing to read, in a bubble.
func expectNothing(t testing.TB, b discovery.Browser) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if ev, err := b.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next() = %v, %v, want nothing until ctx ends", ev, err)
	}
}

func TestBrowse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, discovery.TableConfig{})
		early := table.Browse()
		var last []byte
		for i := range byte(5) {
			last = sign(t, keyOf(5-i), record(1, "a://1"))
			put(t, table, last, "s", discovery.Found, nil)
		}
		late := table.Browse() // begins with all, those first that came first
		for _, b := range []discovery.Browser{early, late} {
			for i := range byte(5) {
				expectEvents(t, b, ev(discovery.Found, 5-i, 1))
			}
			expectNothing(t, b)
		}
		put(t, table, sign(t, keyOf(3), record(2, "a://2")), "s", discovery.Changed, nil)
		put(t, table, sign(t, keyOf(2), record(2)), "s", discovery.Lost, nil)
		put(t, table, last, "s", refreshed, nil)
		expectEvents(t, late, ev(discovery.Changed, 3, 2), ev(discovery.Lost, 2, 1))
		expectNothing(t, late)
		if err := errors.Join(late.Close(), late.Close()); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		if _, err := late.Next(t.Context()); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("Next() after Close = %v, want ErrClosed", err)
		}
		expectEvents(t, early, ev(discovery.Changed, 3, 2), ev(discovery.Lost, 2, 1)) // goes on
	})
}

// What one ID does while nobody reads is one event, or none.
func TestBrowseCoalesces(t *testing.T) {
	const dropped = 1000 // as a step: lost by silence; others are sequences, odd ones of goodbyes
	tests := []struct {
		name         string
		before, then []uint64
		want         []discovery.Kind
		sequence     uint64
	}{
		{"came and went", nil, []uint64{2, 3}, nil, 0},
		{"came and changed", nil, []uint64{2, 4}, []discovery.Kind{discovery.Found}, 4},
		{"came, went, came", nil, []uint64{2, 3, 4}, []discovery.Kind{discovery.Found}, 4},
		{"changed twice", []uint64{2}, []uint64{4, 6}, []discovery.Kind{discovery.Changed}, 6},
		{"changed and went", []uint64{2}, []uint64{4, 5}, []discovery.Kind{discovery.Lost}, 4},
		{"went and came", []uint64{2}, []uint64{3, 4}, []discovery.Kind{discovery.Changed}, 4},
		{"went, came, went", []uint64{2}, []uint64{3, 4, 5}, []discovery.Kind{discovery.Lost}, 4},
		{"was silent and came back the same", []uint64{2}, []uint64{dropped, 2}, nil, 0},
		{"changed, was silent and came back", []uint64{2}, []uint64{4, dropped, 4}, []discovery.Kind{discovery.Changed}, 4},
		{"was silent twice", []uint64{2}, []uint64{dropped, 2, dropped}, []discovery.Kind{discovery.Lost}, 2},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			table := newTable(t, discovery.TableConfig{})
			b := table.Browse()
			do := func(steps []uint64) {
				for _, s := range steps {
					r := record(s, "a://1")
					if s%2 == 1 {
						r.Addrs = nil
					}
					if s == dropped {
						table.Drop(keyOf(1).ID())
					} else if _, _, err := table.Put(sign(t, keyOf(1), r), "s"); err != nil {
						t.Fatalf("%s: Put(%d) = %v, want nil", tt.name, s, err)
					}
				}
			}
			do(tt.before)
			for _, s := range tt.before {
				expectEvents(t, b, ev(discovery.Found, 1, s))
			}
			do(tt.then)
			t.Log(tt.name)
			for _, kind := range tt.want {
				expectEvents(t, b, ev(kind, 1, tt.sequence))
			}
			expectNothing(t, b)
		})
	}
}

// Who changes often keeps its place, and holds nobody up.
func TestBrowseIsFair(t *testing.T) {
	table := newTable(t, discovery.TableConfig{})
	b := table.Browse()
	for i := range byte(3) {
		put(t, table, sign(t, keyOf(i+1), record(1, "a://1")), "s", discovery.Found, nil)
	}
	expectEvents(t, b, ev(discovery.Found, 1, 1))
	for seq := range uint64(5) {
		put(t, table, sign(t, keyOf(1), record(seq+2, "a://1")), "s", discovery.Changed, nil)
		put(t, table, sign(t, keyOf(2), record(seq+2, "a://1")), "s", discovery.Changed, nil)
	}
	expectEvents(t, b, ev(discovery.Found, 2, 6), ev(discovery.Found, 3, 1), ev(discovery.Changed, 1, 6))
}

func TestNextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, discovery.TableConfig{})
		put(t, table, sign(t, keyOf(1), record(1, "a://1")), "s", discovery.Found, nil)
		b := table.Browse()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Next(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Next(ctx that has ended) = %v, want context.Canceled", err)
		}
		expectEvents(t, b, ev(discovery.Found, 1, 1)) // was not lost

		for name, end := range map[string]func(discovery.Browser, context.CancelFunc){
			"ctx":           func(_ discovery.Browser, cancel context.CancelFunc) { cancel() },
			"Browser.Close": func(b discovery.Browser, _ context.CancelFunc) { b.Close() },
		} {
			b := table.Browse()
			expectEvents(t, b, ev(discovery.Found, 1, 1))
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() { _, err := b.Next(ctx); failed <- err }()
			synctest.Wait()
			end(b, cancel)
			want := discovery.ErrClosed
			if name == "ctx" {
				want = context.Canceled
			}
			if err := <-failed; !errors.Is(err, want) {
				t.Errorf("Next() ended by %s = %v, want %v", name, err, want)
			}
			cancel()
		}
		failed := make(chan error, 1)
		go func() { _, err := b.Next(t.Context()); failed <- err }()
		synctest.Wait()
		table.Close()
		table.Close()
		if err := <-failed; !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("Next() ended by Table.Close = %v, want ErrClosed", err)
		}
		if _, err := table.Browse().Next(t.Context()); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("Next() of a closed table's new Browser = %v, want ErrClosed", err)
		}
	})
}

func TestSuspect(t *testing.T) {
	var suspected []kith.ID
	table := newTable(t, discovery.TableConfig{Suspect: func(id kith.ID) { suspected = append(suspected, id) }})
	b := table.Browse()
	b.Suspect(keyOf(1).ID())
	put(t, table, sign(t, keyOf(1), record(1, "a://1")), "s", discovery.Found, nil)
	b.Suspect(keyOf(1).ID())
	b.Suspect(keyOf(2).ID())
	if want := []kith.ID{keyOf(1).ID()}; !slices.Equal(suspected, want) {
		t.Errorf("Suspect reached the medium for %v, want only who is held, %v", suspected, want)
	}
	newTable(t, discovery.TableConfig{}).Browse().Suspect(keyOf(1).ID())
}

// The wall clock decides about expiry, and it may be set while Next waits.
func TestExpiryWhenTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := make(chan time.Duration, 1)
		ahead <- 0
		table := newTable(t, discovery.TableConfig{Now: func() time.Time {
			d := <-ahead
			ahead <- d
			return time.Now().Add(d)
		}})
		put(t, table, sign(t, keyOf(1), record(1, "a://1")), "s", discovery.Found, nil)
		b := table.Browse()
		expectEvents(t, b, ev(discovery.Found, 1, 1))
		start := time.Now()
		got := make(chan discovery.Event, 1)
		go func() { ev, _ := b.Next(t.Context()); got <- ev }()
		synctest.Wait()
		<-ahead
		ahead <- 2 * time.Hour
		if ev := <-got; ev.Kind != discovery.Lost || time.Since(start) > time.Minute {
			t.Errorf("Next() = %v after %v, want Lost within a minute", ev, time.Since(start))
		}
	})
}

// What a reader has not read is bounded, whoever comes and goes.
func TestBrowserHoldsLittle(t *testing.T) {
	const slow = 100
	table := newTable(t, discovery.TableConfig{MaxPeers: 8, ChecksPerSecond: -1, NewPerSecond: -1, MaxPerSource: -1})
	b := table.Browse()
	for i := range slow {
		key := kith.NewKey()
		put(t, table, sign(t, key, record(1, "a://1")), "s", discovery.Found, nil)
		if i%2 == 0 {
			if _, err := b.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		put(t, table, sign(t, key, record(2)), "s", discovery.Lost, nil)
	}
	events := 0
	ended, cancel := context.WithCancel(t.Context())
	defer cancel()
	put(t, table, sign(t, keyOf(1), record(1, "a://1")), "s", discovery.Found, nil)
	for {
		e, err := b.Next(ended)
		if err != nil {
			t.Fatal(err)
		}
		if e.Record.ID == keyOf(1).ID() {
			break
		}
		events++
	}
	if events > 2 {
		t.Errorf("%d events waited of nodes that are gone, want at most 2", events)
	}
}
