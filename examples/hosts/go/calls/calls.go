// A million calls between two threads, over core.wasm in wazero (experimental threads). It was written from docs/abi.md.
//
//	go run ./calls ../../../dist/core.wasm ../../../dist/layout.json [COUNT [OPEN]]
//
//	shard 0 --a number--> shard 1
//	        <--one more--
//
// Each shard is a goroutine that is locked to a thread, with an instance of its own over the shared memory. A doorbell
// is a channel with room for one: a bell that rings before the shard waits is not lost.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const (
	request  = 1 // kinds of messages
	reply    = 2
	doorbell = 40 // an opcode
	timers   = 20
	quotaNs  = 1e6
)

var limits = map[string]uint32{
	"shardCount": 2, "ringSlots": 1024, "creditCount": 256, "sqeSlots": 16, "cqeSlots": 16, "readySlots": 1024,
	"opSlots": 64, "timerSlots": 64, "taskSlots": 64, "connectionSlots": 1, "arenaBytes": 4096, "scratchBytes": 64,
	"recvBufferCount": 1, "recvBufferBytes": 64, "largeRecvBufferCount": 1, "largeRecvBufferBytes": 64,
	"sendBufferCount": 1, "sendBufferBytes": 64, "callSlots": 0,
}

// layout is dist/layout.json.
var layout struct {
	Constants map[string]int64
	Enums     map[string]map[string]int64
	Structs   map[string]struct {
		Fields map[string]struct{ Offset uint32 }
	}
}

func constant(name string) uint32      { return uint32(layout.Constants[name]) }
func offset(name, field string) uint32 { return layout.Structs[name].Fields[field].Offset }

var began = time.Now()

func nowNs() float64 { return float64(time.Since(began)) }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// world is what the shards share.
type world struct {
	ctx       context.Context
	runtime   wazero.Runtime
	core      wazero.CompiledModule
	memory    api.Memory
	bytes     []byte // all of the memory; it never grows
	bells     [2]chan struct{}
	allBooted sync.WaitGroup
	isDone    atomic.Bool
}

// shardKey finds the shard in the context of a call, for the import uring.enter.
type shardKey struct{}

func newWorld(wasm []byte) *world {
	ctx := context.Background()
	config := wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesThreads)
	w := &world{ctx: ctx, runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	var err error
	w.core, err = w.runtime.CompileModule(ctx, wasm)
	check(err)
	_, err = w.runtime.NewHostModuleBuilder("uring").NewFunctionBuilder().
		WithFunc(func(ctx context.Context) { ctx.Value(shardKey{}).(*shard).enter() }).Export("enter").Instantiate(ctx)
	check(err)
	_, err = w.runtime.NewHostModuleBuilder("wasi").NewFunctionBuilder().
		WithFunc(func(uint32) int32 { return -1 }).Export("thread-spawn").Instantiate(ctx)
	check(err)
	pages := w.plan(1) // one page is enough to ask
	w.plan(pages)
	for i := range w.bells {
		w.bells[i] = make(chan struct{}, 1)
	}
	w.allBooted.Add(len(w.bells))
	return w
}

// plan makes a memory of so many pages, and lets the core plan there. It returns how many pages the core needs.
func (w *world) plan(pages uint32) uint32 {
	if w.memory != nil {
		check(w.runtime.Module("env").Close(w.ctx))
	}
	// A module that has nothing but a shared memory: wazero makes one in no other way.
	size := binary.AppendUvarint(binary.AppendUvarint([]byte{1, 3}, uint64(pages)), uint64(pages))
	wasm := append([]byte("\x00asm\x01\x00\x00\x00\x05"), byte(len(size)))
	wasm = append(append(wasm, size...), "\x07\x0a\x01\x06memory\x02\x00"...)
	env, err := w.runtime.InstantiateWithConfig(w.ctx, wasm, wazero.NewModuleConfig().WithName("env"))
	check(err)
	w.memory = env.Memory()
	w.bytes, _ = w.memory.Read(0, w.memory.Size())
	for name, value := range limits {
		w.set(constant("HEADER")+offset("Header", name), value)
	}
	planner := w.instantiate()
	result, err := planner.ExportedFunction("plan").Call(w.ctx)
	check(err)
	check(planner.Close(w.ctx))
	return uint32(result[0])
}

func (w *world) instantiate() api.Module {
	instance, err := w.runtime.InstantiateModule(w.ctx, w.core, wazero.NewModuleConfig().WithName(""))
	check(err)
	return instance
}

func (w *world) get(at uint32) uint32        { return binary.LittleEndian.Uint32(w.bytes[at:]) }
func (w *world) set(at, value uint32)        { binary.LittleEndian.PutUint32(w.bytes[at:], value) }
func (w *world) getLong(at uint32) uint64    { return binary.LittleEndian.Uint64(w.bytes[at:]) }
func (w *world) setLong(at uint32, v uint64) { binary.LittleEndian.PutUint64(w.bytes[at:], v) }
func (w *world) header(name string) uint32 {
	return w.get(constant("HEADER") + offset("Header", name))
}
func (w *world) ring(shard uint32) {
	select {
	case w.bells[shard] <- struct{}{}:
	default: // it rings already
	}
}

// message is one that was refused.
type message struct {
	kind  byte
	value uint64
}

// shard is one instance, in one thread.
type shard struct {
	*world
	ctx                                           context.Context
	index, base                                   uint32
	sqes, ready, inbox, outgoing                  uint32
	wantsTurn, turn, flush, trySleep, awake, post api.Function
	stack                                         [1]uint64 // argument and result of a call
	control                                       map[string]uint32
	submitCount, readyHead, readyTail, now        uint32
	waiting                                       []message
	fired                                         int
}

func (w *world) boot(index uint32) *shard {
	s := &shard{world: w, index: index, base: w.header("shardsOffset") + index*w.header("shardBytes")}
	s.ctx = context.WithValue(w.ctx, shardKey{}, s)
	s.sqes, s.ready = s.base+w.header("sqeOffset"), s.base+w.header("readyOffset")
	s.inbox, s.outgoing = s.base+w.header("inboxOffset"), s.base+w.header("outgoingOffset")
	s.submitCount, s.now = s.at("submitCount"), s.at("nowNs")
	s.readyHead, s.readyTail = s.at("readyHead"), s.at("readyTail")
	instance := w.instantiate()
	for name, function := range map[string]*api.Function{
		"wantsTurn": &s.wantsTurn, "turn": &s.turn, "flush": &s.flush, "trySleep": &s.trySleep, "awake": &s.awake,
		"post": &s.post,
	} {
		*function = instance.ExportedFunction(name)
	}
	s.setLong(s.at("quotaNs"), math.Float64bits(quotaNs))
	_, err := instance.ExportedFunction("boot").Call(s.ctx, uint64(index), math.Float64bits(nowNs()))
	check(err)
	for i := 1; index == 0 && i <= timers; i++ {
		_, err := instance.ExportedFunction("armTimer").Call(s.ctx, math.Float64bits(nowNs()+float64(i)*1e6), 0, uint64(i))
		check(err)
	}
	w.allBooted.Done()
	w.allBooted.Wait()
	return s
}

// at is where a word of the Control block lies.
func (s *shard) at(name string) uint32 { return s.base + offset("Control", name) }

// call calls an export with at most one argument, and returns its result, if it has one.
func (s *shard) call(function api.Function, argument uint32) int32 {
	s.stack[0] = uint64(argument)
	check(function.CallWithStack(s.ctx, s.stack[:]))
	return int32(s.stack[0])
}

// enter takes what is staged. The only operations are doorbells, which have no completions.
func (s *shard) enter() {
	for i := uint32(0); i < s.get(s.submitCount); i++ {
		sqe := s.sqes + i*64
		if s.bytes[sqe+offset("Sqe", "opcode")] == doorbell {
			s.ring(s.get(sqe + offset("Sqe", "fd")))
		}
	}
	s.set(s.submitCount, 0)
	s.set(s.at("recycleCount"), 0)
	s.setLong(s.now, math.Float64bits(nowNs()))
}

// run is the loop of docs/abi.md, "Turn".
func (s *shard) run(onMail func(kind byte, value uint64), isDone func() bool) {
	for !isDone() {
		s.enter()
		if s.call(s.wantsTurn, 0) != 0 {
			s.call(s.turn, 0)
			s.drain(onMail)
			s.call(s.flush, 0)
		} else if s.get(s.submitCount) == 0 && s.call(s.trySleep, 0) != 0 {
			s.sleep(math.Float64frombits(s.getLong(s.at("nextDeadlineNs"))) - nowNs())
			s.call(s.awake, 0)
		}
	}
	s.enter()
}

func (s *shard) sleep(leftNs float64) {
	if leftNs > 1e18 {
		<-s.bells[s.index]
		return
	}
	select {
	case <-s.bells[s.index]:
	case <-time.After(time.Duration(leftNs)):
	}
}

func (s *shard) drain(onMail func(kind byte, value uint64)) {
	for head := s.get(s.readyHead); head != s.get(s.readyTail); {
		slot := head & (limits["readySlots"] - 1)
		head++
		s.set(s.readyHead, head)
		switch kind := int64(s.bytes[s.ready+slot*16]); kind {
		case layout.Enums["ReadyKind"]["MAIL"]:
			at := s.inbox + slot*64
			onMail(s.bytes[at], s.getLong(at+constant("MESSAGE_INLINE")))
		case layout.Enums["ReadyKind"]["TIMER"]:
			s.fired++
		default: // there is room again
			s.sendWaiting()
		}
	}
}

// send sends a number to the other shard, now or when there is room.
func (s *shard) send(kind byte, value uint64) {
	s.waiting = append(s.waiting, message{kind, value})
	if len(s.waiting) == 1 {
		s.sendWaiting()
	}
}

func (s *shard) sendWaiting() {
	for len(s.waiting) > 0 {
		clear(s.bytes[s.outgoing : s.outgoing+64])
		s.bytes[s.outgoing] = s.waiting[0].kind
		s.setLong(s.outgoing+constant("MESSAGE_INLINE"), s.waiting[0].value)
		if s.call(s.post, 1-s.index) != 0 {
			return
		}
		s.waiting = s.waiting[1:]
	}
}

// serve is shard 1: it responds to each number with the next one.
func serve(w *world) {
	runtime.LockOSThread()
	s := w.boot(1)
	s.run(func(_ byte, value uint64) { s.send(reply, value+1) }, w.isDone.Load)
}

// call is shard 0: it makes the calls, and prints what has come of them.
func call(w *world, count, open uint64) {
	runtime.LockOSThread()
	s := w.boot(0)
	start := time.Now()
	var sent, replied uint64
	for ; sent < min(count, open); sent++ {
		s.send(request, sent)
	}
	s.run(func(kind byte, value uint64) {
		replied++
		if kind != reply || value != replied {
			check(fmt.Errorf("a reply is wrong: %d", value))
		}
		if sent < count {
			s.send(request, sent)
			sent++
		}
	}, func() bool { return replied == count && s.fired == timers })
	fmt.Printf("%d calls between two threads, %d timers\n", replied, s.fired)
	fmt.Fprintf(os.Stderr, "%d ns a call\n", time.Since(start).Nanoseconds()/int64(count))
	w.isDone.Store(true)
	w.ring(1)
}

func argument(index int, otherwise uint64) uint64 {
	if len(os.Args) <= index {
		return otherwise
	}
	value, err := strconv.ParseUint(os.Args[index], 10, 64)
	check(err)
	return value
}

func main() {
	wasm, err := os.ReadFile(os.Args[1])
	check(err)
	text, err := os.ReadFile(os.Args[2])
	check(err)
	check(json.Unmarshal(text, &layout))
	w := newWorld(wasm)
	ended := make(chan struct{})
	go func() {
		serve(w)
		close(ended)
	}()
	call(w, argument(3, 1_000_000), argument(4, 64))
	<-ended
}
