package discovery_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// newTable makes a table of the network home, closed at the end.
func newTable(t testing.TB, cfg discovery.TableConfig) *discovery.Table {
	cfg.Network = home
	table := discovery.NewTable(cfg)
	t.Cleanup(table.Close)
	return table
}

// put puts a record and checks what comes of it: a kind, or an error.
func put(t testing.TB, table *discovery.Table, raw []byte, source string, kind discovery.Kind, want error) {
	t.Helper()
	r, got, err := table.Put(raw, source)
	if got != kind || !errors.Is(err, want) {
		t.Fatalf("Put(%x, from %q) = %v, %v, want %v, %v", raw, source, got, err, kind, want)
	}
	opened, openErr := discovery.Open(raw)
	if err == nil && (openErr != nil || r.ID != opened.Record().ID || r.Sequence != opened.Record().Sequence) {
		t.Fatalf("Put(%x) = %+v, want the record, %+v", raw, r, opened.Record())
	}
	if err != nil && !r.ID.IsZero() {
		t.Fatalf("Put(%x) = %+v, %v, want the zero record with an error", raw, r, err)
	}
}

const refreshed discovery.Kind = 0

func TestPut(t *testing.T) {
	key := keyOf(1)
	first, second := sign(t, key, record(10, "a://1")), sign(t, key, record(11, "a://2"))
	otherWords := sign(t, key, record(11, "a://3"))
	old, goodbye, late := sign(t, key, record(9, "a://0")), sign(t, key, record(12)), sign(t, key, record(13, "a://1"))
	forged := sign(t, key, record(14, "a://4"))
	forged[len(forged)-1] ^= 1
	forgedGoodbye := sign(t, key, record(14))
	forgedGoodbye[len(forgedGoodbye)-1] ^= 1
	r := record(20, "a://1")
	r.Network[0]++
	foreign := sign(t, key, r)
	r = record(20, "a://1")
	r.Expires = time.Now()
	expired := sign(t, key, r)

	table := newTable(t, discovery.TableConfig{})
	steps := []struct {
		name string
		raw  []byte
		kind discovery.Kind
		err  error
	}{
		{"no record", []byte("x"), 0, discovery.ErrRecord},
		{"a goodbye of nobody", goodbye, 0, discovery.ErrStale},
		{"of another network", foreign, 0, discovery.ErrNetwork},
		{"expired", expired, 0, discovery.ErrExpired},
		{"forged, of nobody", forged, 0, discovery.ErrRecord},
		{"the first", first, discovery.Found, nil},
		{"the first again", first, refreshed, nil},
		{"older", old, 0, discovery.ErrStale},
		{"newer", second, discovery.Changed, nil},
		{"the same sequence, other words", otherWords, 0, discovery.ErrStale},
		{"replayed", first, 0, discovery.ErrStale},
		{"forged, newer", forged, 0, discovery.ErrRecord},
		{"forged goodbye", forgedGoodbye, 0, discovery.ErrRecord},
		{"another network's, newer", foreign, 0, discovery.ErrNetwork},
		{"expired, newer", expired, 0, discovery.ErrExpired},
		{"still there", second, refreshed, nil},
		{"goodbye", goodbye, discovery.Lost, nil},
		{"goodbye again", goodbye, 0, discovery.ErrStale},
		{"replayed after the goodbye", second, 0, discovery.ErrStale},
		{"back", late, discovery.Found, nil},
		{"an old goodbye", goodbye, 0, discovery.ErrStale},
	}
	for _, s := range steps {
		r, kind, err := table.Put(s.raw, "10.0.0.1")
		if kind != s.kind || !errors.Is(err, s.err) || r.ID.IsZero() != (err != nil) {
			t.Fatalf("%s: Put = %+v, %v, %v, want %v, %v", s.name, r, kind, err, s.kind, s.err)
		}
	}
	if got, ok := table.Get(key.ID()); !ok || string(got.Append(nil)) != string(late) || table.Len() != 1 {
		t.Errorf("Get = %+v, %v, with %d held, want the last record taken", got.Record(), ok, table.Len())
	}
	table.Close()
	put(t, table, late, "", 0, discovery.ErrClosed)
	if _, ok := table.Get(key.ID()); ok || table.Len() != 0 || len(table.All()) != 0 || table.Drop(key.ID()) {
		t.Errorf("a closed table still holds somebody")
	}
}

// What was lost by silence comes back by the same record, but by no older one; a goodbye
// that is heard afterwards counts.
func TestDrop(t *testing.T) {
	key := keyOf(1)
	first, second, goodbye := sign(t, key, record(10, "a://1")), sign(t, key, record(11, "a://1")), sign(t, key, record(12))
	table := newTable(t, discovery.TableConfig{})
	if table.Drop(key.ID()) {
		t.Errorf("Drop(unknown) = true, want false")
	}
	put(t, table, second, "s", discovery.Found, nil)
	if !table.Drop(key.ID()) || table.Drop(key.ID()) {
		t.Errorf("Drop twice is not true, then false")
	}
	put(t, table, first, "s", 0, discovery.ErrStale)
	put(t, table, second, "s", discovery.Found, nil)
	table.Drop(key.ID())
	put(t, table, goodbye, "s", 0, discovery.ErrStale) // it is not there already, but
	put(t, table, second, "s", 0, discovery.ErrStale)
}

func TestFull(t *testing.T) {
	table := newTable(t, discovery.TableConfig{MaxPeers: 3, MaxPerSource: 2})
	put(t, table, sign(t, keyOf(1), record(1, "a://1")), "s1", discovery.Found, nil)
	put(t, table, sign(t, keyOf(2), record(1, "a://1")), "s1", discovery.Found, nil)
	put(t, table, sign(t, keyOf(3), record(1, "a://1")), "s1", 0, discovery.ErrFull)
	put(t, table, sign(t, keyOf(3), record(1, "a://1")), "s2", discovery.Found, nil)
	put(t, table, sign(t, keyOf(4), record(1, "a://1")), "s3", 0, discovery.ErrFull)
	put(t, table, sign(t, keyOf(4), record(1, "a://1")), "", 0, discovery.ErrFull)
	// Who is there may change, from wherever, and stays with the source that brought it.
	put(t, table, sign(t, keyOf(3), record(2, "a://2")), "s1", discovery.Changed, nil)
	// Room is made by a goodbye, and by silence.
	put(t, table, sign(t, keyOf(1), record(2)), "s9", discovery.Lost, nil)
	put(t, table, sign(t, keyOf(4), record(1, "a://1")), "s1", discovery.Found, nil)
	table.Drop(keyOf(2).ID())
	table.Drop(keyOf(3).ID())
	put(t, table, sign(t, keyOf(5), record(1, "a://1")), "s1", discovery.Found, nil)
	put(t, table, sign(t, keyOf(6), record(1, "a://1")), "s1", 0, discovery.ErrFull)
	put(t, table, sign(t, keyOf(6), record(1, "a://1")), "", discovery.Found, nil)

	var got []kith.ID
	for _, s := range table.All() {
		got = append(got, s.Record().ID)
	}
	if want := fmt.Sprint([]kith.ID{keyOf(4).ID(), keyOf(5).ID(), keyOf(6).ID()}); fmt.Sprint(got) != want {
		t.Errorf("All() = %v, want %v", got, want)
	}
}

func TestNoLimits(t *testing.T) {
	table := newTable(t, discovery.TableConfig{MaxPeers: -1, MaxPerSource: -1, ChecksPerSecond: -1, NewPerSecond: -1})
	for i := range 100 {
		put(t, table, sign(t, kith.NewKey(), record(1, "a://1")), fmt.Sprint(i%2), discovery.Found, nil)
	}
	if got := table.Len(); got != 100 {
		t.Errorf("Len() = %d, want 100", got)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, discovery.TableConfig{MaxPeers: 2})
		soon, later := record(10, "a://1"), record(1, "a://1")
		soon.Expires = time.Now().Add(10 * time.Second)
		put(t, table, sign(t, keyOf(1), soon), "s", discovery.Found, nil)
		put(t, table, sign(t, keyOf(2), later), "s", discovery.Found, nil)
		b := table.Browse()
		expectEvents(t, b, ev(discovery.Found, 1, 10), ev(discovery.Found, 2, 1))

		start := time.Now()
		expectEvents(t, b, ev(discovery.Lost, 1, 10)) // by itself, while Next waits
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("Lost after %v, want 10s", got)
		}
		// Its earlier words are not news, even where they were meant to last longer.
		put(t, table, sign(t, keyOf(1), record(9, "a://1")), "s", 0, discovery.ErrStale)

		soon.Sequence, soon.Expires = 11, time.Now().Add(time.Second)
		put(t, table, sign(t, keyOf(1), soon), "s", discovery.Found, nil)
		put(t, table, sign(t, keyOf(3), later), "s", 0, discovery.ErrFull)
		time.Sleep(time.Second)
		put(t, table, sign(t, keyOf(3), later), "s", discovery.Found, nil) // the expired one gives way
		expectEvents(t, b, ev(discovery.Found, 3, 1))
		if got := table.Len(); got != 2 {
			t.Errorf("Len() = %d, want 2", got)
		}
		time.Sleep(time.Hour)
		if _, ok := table.Get(keyOf(2).ID()); ok {
			t.Errorf("Get(expired) = true, want false")
		}
		if n := len(table.All()) + table.Len(); n != 0 || table.Drop(keyOf(2).ID()) {
			t.Errorf("an hour later the table still holds somebody")
		}
	})
}

// Signatures are checked, and newcomers taken, at a bounded rate, of which one source has a
// quarter; what is known costs nothing of it.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, discovery.TableConfig{ChecksPerSecond: 20, NewPerSecond: 10})
		known := sign(t, keyOf(1), record(1, "a://1"))
		put(t, table, known, "s", discovery.Found, nil)
		time.Sleep(time.Minute)

		forge := func(source string, n int) (checked int) {
			for i := range n {
				r := record(uint64(2+i), "a://1")
				raw := sign(t, keyOf(1), r)
				raw[len(raw)-1] ^= 1
				switch _, _, err := table.Put(raw, source); {
				case errors.Is(err, discovery.ErrRecord):
					checked++
				case !errors.Is(err, discovery.ErrLimited):
					t.Fatalf("Put(forged) = %v, want ErrRecord or ErrLimited", err)
				}
			}
			return checked
		}
		if got := forge("bad", 50); got != 10 { // a quarter of 2 seconds' 20
			t.Errorf("%d signatures of one source checked at once, want 10", got)
		}
		put(t, table, known, "bad", refreshed, nil)
		put(t, table, sign(t, keyOf(2), record(1, "a://1")), "good", discovery.Found, nil)
		for i := range 100 {
			forge(fmt.Sprint(i), 1)
		}
		put(t, table, sign(t, keyOf(3), record(1, "a://1")), "late", 0, discovery.ErrLimited)
		put(t, table, sign(t, keyOf(3), record(1, "a://1")), "", discovery.Found, nil)
		time.Sleep(time.Second)
		put(t, table, sign(t, keyOf(4), record(1, "a://1")), "late", discovery.Found, nil)

		time.Sleep(time.Minute)
		taken := 0
		for i := range byte(30) {
			_, _, err := table.Put(sign(t, keyOf(100+i), record(1, "a://1")), "many")
			if err == nil {
				taken++
			} else if !errors.Is(err, discovery.ErrLimited) {
				t.Fatalf("Put(newcomer) = %v, want nil or ErrLimited", err)
			}
		}
		if taken != 5 {
			t.Errorf("%d newcomers of one source taken at once, want 5", taken)
		}
	})
}

// A clock that is set back neither opens the gates nor shuts them for good.
func TestRatesWhenTheClockIsSet(t *testing.T) {
	now := time.Now()
	table := newTable(t, discovery.TableConfig{ChecksPerSecond: 1, MaxPerSource: -1, Now: func() time.Time { return now }})
	next := byte(1)
	try := func(want error) {
		t.Helper()
		_, _, err := table.Put(sign(t, keyOf(next), record(1, "a://1")), "s")
		if !errors.Is(err, want) {
			t.Fatalf("Put at %v = %v, want %v", now, err, want)
		}
		next++
	}
	try(nil)
	try(nil)
	try(discovery.ErrLimited)
	now = now.Add(-time.Hour)
	try(discovery.ErrLimited)
	now = now.Add(time.Second)
	try(nil)
	try(discovery.ErrLimited)
}

// However many put, browse and drop at once, the table stays whole.
func TestTableConcurrently(t *testing.T) {
	table := newTable(t, discovery.TableConfig{ChecksPerSecond: -1, NewPerSecond: -1})
	var records [][]byte
	for i := range byte(8) {
		for seq := range uint64(8) {
			r := record(seq+1, "a://1")
			if seq%4 == 3 {
				r.Addrs = nil
			}
			records = append(records, sign(t, keyOf(i+1), r))
		}
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			b := table.Browse()
			for i := range records {
				_, _, _ = table.Put(records[(i*7+worker)%len(records)], "")
				table.Drop(keyOf(byte(worker + 1)).ID())
				b.Suspect(keyOf(1).ID())
				table.All()
			}
			if worker%2 == 0 {
				b.Close()
			}
		})
	}
	wg.Wait()
	for _, raw := range records {
		_, _, _ = table.Put(raw, "") // now in order: each ends with a goodbye
	}
	if got := table.Len(); got != 0 {
		t.Errorf("Len() = %d after everybody's goodbye, want 0", got)
	}
}

// Who puts what is known already has that back, and not what is put meanwhile.
func TestPutKnownWhileChanging(t *testing.T) {
	table := newTable(t, discovery.TableConfig{ChecksPerSecond: -1})
	records := make([][]byte, 512)
	for i := range records {
		records[i] = sign(t, keyOf(1), record(uint64(i+1), "a://1"))
	}
	var held atomic.Int64 // the record that is
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := held.Load(); i < int64(len(records)-1); i = held.Load() {
				r, _, err := table.Put(records[i], "")
				if err == nil && r.Sequence != uint64(i+1) {
					t.Errorf("Put() of record %d returns record %d", i+1, r.Sequence)
				}
			}
		})
	}
	for i, raw := range records {
		if _, _, err := table.Put(raw, ""); err != nil && !errors.Is(err, discovery.ErrStale) {
			t.Errorf("Put() of record %d: %v", i+1, err)
		}
		held.Store(int64(i))
	}
	wg.Wait()
}

// A million records of as many IDs within a second, from few sources that have brought all
// they may, leave little behind and nobody out.
func TestAMillionStrangers(t *testing.T) {
	const (
		peers, sources = 100, 4
		most           = 1 << 20
	)
	strangers := 1_000_000
	if raceEnabled { // takes twenty times as long, and nobody else is there
		strangers /= 20
	}
	now := time.Now()
	table := newTable(t, discovery.TableConfig{Now: func() time.Time { return now }})
	browser := table.Browse() // reads nothing
	var friends [][]byte
	for i := range peers {
		raw := sign(t, kith.NewKey(), record(1, "quic://192.168.1.7:4433"))
		put(t, table, raw, fmt.Sprint("friend", i), discovery.Found, nil)
		friends = append(friends, raw)
	}
	before := heap()
	r := record(1, fill(discovery.MaxSize-123-256)...) // as large as they come
	r.Services = tags(32)
	for i := range sources * 64 {
		put(t, table, sign(t, kith.NewKey(), r), fmt.Sprint(i%sources), discovery.Found, nil)
		now = now.Add(50 * time.Millisecond)
	}
	raw := sign(t, kith.NewKey(), r)
	for i := range strangers {
		raw[1], raw[2], raw[3] = byte(i), byte(i>>8), byte(i>>16) // another ID, and so a bad signature
		source := fmt.Sprint(i % (2 * sources))                   // full ones, and some that are not
		if _, _, err := table.Put(raw, source); err == nil {
			t.Fatalf("Put(forged) = nil, want an error")
		}
		now = now.Add(time.Microsecond)
	}
	held := int64(heap()) - int64(before)
	t.Logf("%d strangers from %d sources: %d held, %d KiB more than %d peers take", strangers, sources, table.Len()-peers, held>>10, peers)
	if held > most {
		t.Errorf("%d bytes held, want at most %d", held, most)
	}
	for _, raw := range friends {
		put(t, table, raw, "", refreshed, nil)
	}
	runtime.KeepAlive(browser)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkPut shows what a packet of a flood costs, by what it is.
func BenchmarkPut(b *testing.B) {
	table := newTable(b, discovery.TableConfig{})
	good := sign(b, keyOf(1), record(5, "quic://192.168.1.7:4433"))
	stale := sign(b, keyOf(1), record(4, "quic://192.168.1.7:4433"))
	put(b, table, good, "s", discovery.Found, nil)
	for name, raw := range map[string][]byte{"known": good, "stale": stale} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = table.Put(raw, "s")
			}
		})
	}
}
