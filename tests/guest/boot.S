// SPDX-License-Identifier: Apache-2.0
/* boot.S: from the 64-bit Linux boot protocol (long mode, boot_params in rsi) to guest_main() in
 * ring 3 with port access (IOPL 3), interrupts off for good.
 *
 * Ring 3, because a host may emulate every instruction of ring 0 at a thousandth of the speed (PVM);
 * there, selectors have to be those of Linux: 0x2b data, 0x33 code. All tables are made at build time
 * for the same reason. No interrupt or exception has a handler: a stray one is a triple fault, which
 * Firecracker reports and ends. */

#define PRESENT 0x01
#define WRITE 0x02
#define USER 0x04
#define USED 0x60 /* accessed and dirty, so that the processor need not write here */
#define LARGE 0x80
#define USER_DATA 0x2b
#define USER_CODE 0x33
#define FLAGS_IOPL3 0x3002

  .section .text.entry, "ax"
  .code64
  .globl _start
_start:
  cli
  cld
  mov $pml4, %rax
  mov %rax, %cr3
  lgdt gdt_pointer
  mov %rsi, %rdi
  mov $stack_top - 8, %rax /* as after a call */
  mov %rax, %rsp
  pushq $USER_DATA
  pushq %rax
  pushq $FLAGS_IOPL3
  pushq $USER_CODE
  pushq $guest_main
  iretq

  .section .data.tables, "aw"
  .balign 4096
pml4:
  .quad pdpt + (PRESENT | WRITE | USER | 0x20)
  .fill 511, 8, 0
  .balign 4096
pdpt:
  .set table, 0
  .rept 8
  .quad directories + table + (PRESENT | WRITE | USER | 0x20)
  .set table, table + 4096
  .endr
  .fill 504, 8, 0
  .balign 4096
directories: /* the first 8 GiB, mapped to themselves */
  .set address, 0
  .rept 8 * 512
  .quad address + (PRESENT | WRITE | USER | USED | LARGE)
  .set address, address + 0x200000
  .endr

  .balign 16
gdt:
  .fill 5, 8, 0
  .quad 0x00cff3000000ffff /* 0x28 + 3: data, ring 3 */
  .quad 0x00affb000000ffff /* 0x30 + 3: 64-bit code, ring 3 */
gdt_end:
gdt_pointer:
  .word gdt_end - gdt - 1
  .quad gdt

  .section .bss
  .balign 16
  .fill 65536
stack_top:

  .section .note.GNU-stack, "", @progbits
