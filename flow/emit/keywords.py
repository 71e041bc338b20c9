"""Words that cannot name a module: keywords of Verilog-2005 and SystemVerilog."""

RESERVED = frozenset(
    """
    always and assign automatic begin bit break buf bufif0 bufif1 byte case casex casez cell class cmos config
    continue deassign default defparam design disable do edge else end endcase endconfig endfunction endgenerate
    endmodule endprimitive endspecify endtable endtask enum event export extends final for force forever fork
    function generate genvar global highz0 highz1 if ifnone import incdir include initial inout input instance int
    integer interface join large let liblist library localparam logic longint macromodule medium module nand
    negedge new nmos nor noshowcancelled not notif0 notif1 null or output package parameter pmos posedge primitive
    priority program property pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real
    realtime reg release repeat return rnmos rpmos rtran rtranif0 rtranif1 scalared sequence shortint
    showcancelled signed small specify specparam string strong0 strong1 struct supply0 supply1 table task this
    time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unsigned use uwire var
    vectored virtual void wait wand weak0 weak1 while wire with within wor xnor xor
    """.split()
)
