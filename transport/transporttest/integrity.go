package transporttest

import "io"

var dataCases = []testCase{
	{"BothWaysAtOnce", dataBothWays},
	{"ManyStreams", dataManyStreams},
	{"ThousandStreamsOpen", thousandStreams},
}

// dataBothWays sends several windows full, in both directions.
func dataBothWays(r *run) {
	p := r.pair()
	n := r.scale(4 << 20)
	for _, side := range p.sides() {
		r.obey(rule{"Stream", "is one ordered, flow-controlled byte stream"})
		near, far := r.stream(side.from, side.to)
		r.all(
			func() { r.send(near, 1, n); r.closeWrite(near) },
			func() { r.receive(far, 1, n) },
			func() { r.send(far, 2, n); r.closeWrite(far) },
			func() { r.receive(near, 2, n) },
		)
		r.close(near)
		r.close(far)
	}
}

// dataManyStreams sends on streams that both ends open, all at once. Nobody
// echoes: two ends that read only as fast as they can write may starve each
// other of a window that all streams share, and no transport is to blame.
func dataManyStreams(r *run) {
	p := r.pair()
	r.obey(rule{"Stream", "is one ordered, flow-controlled byte stream"})
	const streams = 16
	n := r.scale(512 << 10)
	var fs []func()
	for i, side := range p.sides() {
		for j := range streams {
			fs = append(fs, func() {
				seed := byte(streams*i + j)
				s := r.openStream(side.from)
				r.write(s, []byte{seed})
				r.send(s, pattern(seed), n)
				r.closeWrite(s)
				r.expectEOF(s)
				r.close(s)
			}, func() {
				s := r.acceptStream(side.to)
				seed := make([]byte, 1)
				if _, err := io.ReadFull(s, seed); err != nil {
					r.fatalf("Read() = %v, want the first byte", err)
				}
				r.receive(s, pattern(seed[0]), n)
				r.closeWrite(s)
				r.close(s)
			})
		}
	}
	r.all(fs...)
}

// thousandStreams has a thousand streams open, or as many as may be, before
// the first of them ends.
func thousandStreams(r *run) {
	p := r.pair()
	r.obey(rule{"Conn", "Its methods may be called at once from any number of goroutines."})
	r.serveConn(p.accepted)
	n := r.streamLimit(1000)
	half := r.scale(500)
	all := make(chan struct{})
	open := make(chan struct{}, n) // a token for each open stream
	counted := r.start(func() {
		for range n {
			select {
			case <-open:
			case <-r.ctx.Done():
				r.fatalf("fewer than %d streams could be open at once", n)
			}
		}
		close(all)
	})
	r.each(n, func(i int) {
		s := r.openStream(p.dialed)
		want := pattern(i)
		r.write(s, want.bytes(half))
		r.receiveFrom(s, want, 0, half)
		open <- struct{}{}
		select {
		case <-all:
		case <-r.ctx.Done():
			r.fatalf("fewer than %d streams could be open at once", n)
		}
		rest := make([]byte, half)
		want.fill(rest, int64(half))
		r.write(s, rest)
		r.closeWrite(s)
		r.receiveFrom(s, want, half, 2*half)
		r.expectEOF(s)
		r.close(s)
	})
	counted.wait()
}
