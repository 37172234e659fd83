package main

import "runtime"

// heapFloor makes up for what the packages of all systems hold. The garbage collector
// begins at 4 MiB in a small program. What is linked takes up to 1 MiB of that, so that
// each system would pay for the packages of the others: gRPC lost a tenth of its W2 to
// go-libp2p's tables. With this much more, never touched and so not resident, there is as
// much garbage between collections as in a program with one of the systems.
var heapFloor = make([]byte, 3<<19)

// keepHeapFloor keeps it until the process ends.
func keepHeapFloor() { runtime.KeepAlive(heapFloor) }
