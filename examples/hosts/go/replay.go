// Replays conformance vectors (docs/abi.md) on core.wasm in wazero.
//
//	go run . ../../../dist/core.wasm ../../../dist/conformance/vectors.bin
//
//	WRITE --> the shared memory
//	CALL ---> an export --> [its imports read on in the vectors] --> the result: as recorded?
//	HASH ---> hash of the memory: as recorded?
//
// It prints the hash of all results; npm run conformance compares it with that of other hosts.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"os"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const (
	opEnd = iota
	opMemory
	opInstance
	opWrite
	opHash
	opReturn
	opEnter
	opThreadSpawn
	opCall = 16
)

// lanes are the two lanes of the hash: start, r, f and a of docs/abi.md.
var lanes = [2]struct {
	start  uint32
	rotate int
	factor uint32
	add    uint32
}{{0x811c9dc5, 13, 5, 0xe6546b64}, {0x9747b28c, 11, 0x9e3779b1, 0x85ebca6b}}

// hash is both lanes of a hash.
type hash [2]uint32

func newHash() hash { return hash{lanes[0].start, lanes[1].start} }

func (h *hash) add(word uint32) {
	for i, lane := range lanes {
		h[i] = bits.RotateLeft32(h[i]^word, lane.rotate)*lane.factor + lane.add
	}
}

// difference says what the core has done that it did not do when it was recorded.
type difference string

// reader reads the numbers of the format.
type reader struct {
	data []byte
	at   int
}

func (r *reader) byte() byte {
	r.at++
	return r.data[r.at-1]
}

func (r *reader) number() uint64 {
	var value uint64
	for shift := 0; ; shift += 7 {
		b := r.byte()
		value |= uint64(b&127) << shift
		if b < 128 {
			return value
		}
	}
}

func (r *reader) integer() int32 {
	value := uint32(r.number())
	return int32(value>>1) ^ -int32(value&1)
}

func (r *reader) float() float64 {
	if value := r.number(); value != 0 {
		return float64(value - 1)
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(r.raw(8)))
}

func (r *reader) raw(count uint64) []byte {
	r.at += int(count)
	return r.data[r.at-int(count) : r.at]
}

// function is an export: its name, its parameters (i: i32, d: f64), and whether it has a result.
type function struct {
	name, params string
	hasResult    bool
}

// host is what all seeds have in common.
type host struct {
	ctx       context.Context
	runtime   wazero.Runtime
	core      wazero.CompiledModule
	functions []function
	digest    hash
	run       *replay // of the seed that is replayed
}

// replay is one seed.
type replay struct {
	*host
	reader
	env       api.Module
	instances []api.Module
	writtenTo uint64
	calls     int
}

// events takes what comes, up to `end`.
func (r *replay) events(end byte) {
	for {
		op := r.byte()
		if op != opWrite {
			r.writtenTo = 0 // the first of a row counts from 0
		}
		switch {
		case op == end:
			return
		case op >= opCall:
			r.call(r.functions[op-opCall], int(op-opCall))
		case op == opWrite:
			at := r.writtenTo + r.number()
			data := r.raw(r.number())
			if !r.env.Memory().Write(uint32(at), data) {
				panic(difference("a write lies outside of the memory"))
			}
			r.writtenTo = at + uint64(len(data))
		case op == opHash:
			bytes, _ := r.env.Memory().Read(0, r.env.Memory().Size())
			h := newHash()
			for at := 0; at < len(bytes); at += 4 {
				h.add(binary.LittleEndian.Uint32(bytes[at:]))
			}
			for _, lane := range h {
				r.compare("hash of the memory", lane, binary.LittleEndian.Uint32(r.raw(4)))
			}
		case op == opMemory:
			r.makeMemory(r.number())
		case op == opInstance:
			r.instantiate()
		default:
			panic(difference(fmt.Sprintf("the vectors have %d where the core has come back", op)))
		}
	}
}

// makeMemory makes a module that has nothing but a shared memory, under the name from which the core imports it.
func (r *replay) makeMemory(pages uint64) {
	if r.env != nil {
		check(r.env.Close(r.ctx))
	}
	limits := binary.AppendUvarint(binary.AppendUvarint([]byte{1, 3}, pages), pages) // one memory: has a maximum, shared
	wasm := append([]byte("\x00asm\x01\x00\x00\x00\x05"), byte(len(limits)))
	wasm = append(append(wasm, limits...), "\x07\x0a\x01\x06memory\x02\x00"...)
	env, err := r.runtime.InstantiateWithConfig(r.ctx, wasm, wazero.NewModuleConfig().WithName("env"))
	check(err)
	r.env = env
}

func (r *replay) instantiate() {
	instance, err := r.runtime.InstantiateModule(r.ctx, r.core, wazero.NewModuleConfig().WithName(""))
	check(err)
	r.instances = append(r.instances, instance)
}

func (r *replay) call(f function, index int) {
	instance := r.instances[r.number()]
	args := make([]uint64, len(f.params))
	for i, kind := range f.params {
		if kind == 'd' {
			args[i] = api.EncodeF64(r.float())
		} else {
			args[i] = api.EncodeI32(r.integer())
		}
	}
	r.calls++
	results, err := instance.ExportedFunction(f.name).Call(r.ctx, args...)
	if err != nil {
		panic(difference(err.Error()))
	}
	if f.hasResult {
		r.compare("result of "+f.name, uint32(results[0]), uint32(r.integer()))
	}
}

// imported is what the core calls: then so it did when it was recorded.
func (r *replay) imported(op byte, args ...uint32) uint32 {
	if r.byte() != op {
		panic(difference("the core has called an import that it did not call"))
	}
	for _, arg := range args {
		r.compare("argument of an import", arg, uint32(r.integer()))
	}
	r.events(opReturn)
	if op == opThreadSpawn {
		return uint32(r.integer())
	}
	return 0
}

func (r *replay) compare(what string, actual, expected uint32) {
	r.digest.add(actual)
	if actual != expected {
		panic(difference(fmt.Sprintf("%s: %d, not %d", what, actual, expected)))
	}
}

// seed replays one seed. It returns what is different; empty: nothing.
func (h *host) seed(data []byte) (calls int, different string) {
	run := &replay{host: h, reader: reader{data: data}}
	h.run = run
	defer func() {
		calls = run.calls
		for _, instance := range run.instances {
			check(instance.Close(h.ctx))
		}
		if run.env != nil {
			check(run.env.Close(h.ctx))
		}
		switch found := recover().(type) {
		case nil:
		case difference:
			different = string(found)
		case runtime.Error: // the vectors were misread: the core has not done what they say
			different = found.Error()
		default:
			panic(found)
		}
	}()
	run.events(opEnd)
	return
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func main() {
	wasm, err := os.ReadFile(os.Args[1])
	check(err)
	data, err := os.ReadFile(os.Args[2])
	check(err)
	ctx := context.Background()
	config := wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesThreads)
	h := &host{ctx: ctx, runtime: wazero.NewRuntimeWithConfig(ctx, config), digest: newHash()}
	h.core, err = h.runtime.CompileModule(ctx, wasm)
	check(err)
	_, err = h.runtime.NewHostModuleBuilder("uring").NewFunctionBuilder().
		WithFunc(func() { h.run.imported(opEnter) }).Export("enter").Instantiate(ctx)
	check(err)
	_, err = h.runtime.NewHostModuleBuilder("wasi").NewFunctionBuilder().
		WithFunc(func(shard uint32) uint32 { return h.run.imported(opThreadSpawn, shard) }).
		Export("thread-spawn").Instantiate(ctx)
	check(err)

	file := &reader{data: data}
	if string(file.raw(8)) != "FSTRVEC1" {
		check(fmt.Errorf("these are no vectors: no FSTRVEC1"))
	}
	for left := file.number(); left > 0; left-- {
		name := string(file.raw(file.number()))
		h.functions = append(h.functions, function{name, string(file.raw(file.number())), file.byte() == 1})
	}
	seeds := file.number()
	calls, differences, first := 0, 0, ""
	for i := uint64(0); i < seeds; i++ {
		seed := file.number()
		count, different := h.seed(file.raw(file.number()))
		calls += count
		if different != "" {
			h.digest.add(uint32(seed))
			differences++
			if differences <= 3 {
				first += fmt.Sprintf("  seed %d, call %d: %s\n", seed, count, different)
			}
		}
	}
	fmt.Printf("%08x%08x %d seeds, %d calls, %d differ\n%s", h.digest[0], h.digest[1], seeds, calls, differences, first)
	if differences > 0 {
		os.Exit(1)
	}
}
